df_fuzz_target(rt_head rt_server)
