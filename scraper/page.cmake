add_library(scr_page STATIC line.c line_json.c frames.c report.c history.c)
target_link_libraries(scr_page PUBLIC df_domain PRIVATE PkgConfig::JANSSON)
