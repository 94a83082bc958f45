add_library(scr_page STATIC line.c)
target_link_libraries(scr_page PUBLIC df_domain PRIVATE PkgConfig::JANSSON)
