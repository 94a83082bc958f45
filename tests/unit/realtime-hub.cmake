# test_rt_hub*: the real hub between sockets, a database and a clock that the test plays.
foreach(module hub hub_people hub_missed registry map select base64)
    df_unit_test(rt_${module} rt_hub)
endforeach()
