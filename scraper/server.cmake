add_library(scr_server STATIC address.c config.c)
target_link_libraries(scr_server PUBLIC scr_browser df_domain
                      PRIVATE PkgConfig::LWS PkgConfig::CURL PkgConfig::JANSSON)
