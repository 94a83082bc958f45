pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv)

add_library(rt_server STATIC access.c answer.c config.c connection.c door.c guest.c head.c metrics.c
            queue.c server.c)
target_link_libraries(rt_server PUBLIC rt_wire df_domain
                      PRIVATE PkgConfig::LWS PkgConfig::UV PkgConfig::JANSSON PkgConfig::JOSE)

# Test helper: hosts the server with a hub that echoes, for tests/integration/realtime-server.test.mjs.
add_executable(realtime_server_probe server_probe.c)
target_link_libraries(realtime_server_probe PRIVATE rt_server)
