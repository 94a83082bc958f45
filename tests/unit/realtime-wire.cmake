df_unit_test(rt_wire rt_wire PkgConfig::JANSSON)
df_unit_test(rt_filter rt_wire)
df_unit_test(rt_join rt_wire PkgConfig::JANSSON)
df_unit_test(rt_presence rt_wire)
