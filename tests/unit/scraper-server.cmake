foreach(module address config)
    df_unit_test(scr_${module} scr_server)
endforeach()
