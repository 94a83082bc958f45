foreach(name rst_query rst_filter rst_body rst_head)
    df_fuzz_target(${name} rst_query)
endforeach()
