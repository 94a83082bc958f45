add_library(scr_browser STATIC loop.c cdp.c cdp_methods.c proctree.c)
target_link_libraries(scr_browser PUBLIC df_domain PRIVATE PkgConfig::JANSSON)
