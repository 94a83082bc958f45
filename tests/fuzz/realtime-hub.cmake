# The target plays sockets and database itself, so only the hub is linked.
df_fuzz_target(rt_hub rt_hub PkgConfig::JANSSON)
