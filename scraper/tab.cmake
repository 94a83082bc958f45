# What can be judged without a page: pauses, and which source is read.
add_library(scr_tab_policy STATIC tab_limits.c tab_source.c)
target_link_libraries(scr_tab_policy PUBLIC scr_page)
add_library(scr_tab STATIC tab.c tab_setup.c tab_guard.c tab_read.c tab_draw.c tab_foreign.c
            tab_tick.c)
target_link_libraries(scr_tab PUBLIC scr_tab_policy scr_browser scr_page scr_server
                      PRIVATE PkgConfig::JANSSON)
