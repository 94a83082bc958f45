df_fuzz_target(rt_frame rt_wire PkgConfig::JANSSON)
df_fuzz_target(rt_filter rt_wire PkgConfig::JANSSON)
