if(NOT (TARGET scr_tab AND TARGET scr_server AND TARGET scr_delivery))
    return()
endif()
add_library(scr_monitor STATIC events.c metrics.c monitor.c probe.c rotate.c session.c shots.c
            verdict.c)
target_compile_definitions(scr_monitor PRIVATE DF_VERSION="${PROJECT_VERSION}")
target_link_libraries(scr_monitor PUBLIC scr_tab scr_server scr_delivery scr_browser scr_page
                      df_domain PRIVATE PkgConfig::JANSSON)

add_executable(dealflow-scraper main.c)
target_compile_definitions(dealflow-scraper PRIVATE DF_VERSION="${PROJECT_VERSION}"
                           DF_COMMIT="${DF_COMMIT}")
target_link_libraries(dealflow-scraper PRIVATE scr_monitor PkgConfig::CURL)
add_dependencies(dealflow-scraper intent_weights)
install(TARGETS dealflow-scraper RUNTIME DESTINATION bin)
