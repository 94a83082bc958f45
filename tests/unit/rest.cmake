foreach(module rst_query rst_sql rst_head)
    df_unit_test(${module} rst_query)
endforeach()
