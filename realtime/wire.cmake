# Pure: no sockets, no database.
add_library(rt_wire STATIC wire.c join.c filter.c presence.c)
target_link_libraries(rt_wire PUBLIC df_domain PRIVATE PkgConfig::JANSSON)
