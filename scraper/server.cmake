add_library(scr_server STATIC access.c address.c client.c client_message.c config.c cors.c door.c
            head.c route.c server.c server_http.c server_ws.c)
target_link_libraries(scr_server PUBLIC scr_browser df_domain
                      PRIVATE PkgConfig::LWS PkgConfig::CURL PkgConfig::JANSSON)

# Test helper: asks of tests/integration/scraper-server.test.mjs on standard input, answers on output.
add_executable(server_probe server_probe.c)
target_link_libraries(server_probe PRIVATE scr_server PkgConfig::JANSSON)

install(FILES dealflow-scraper.8 DESTINATION share/man/man8)
