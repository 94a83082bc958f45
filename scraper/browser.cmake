add_library(scr_browser STATIC loop.c cdp.c cdp_methods.c proctree.c browser.c browser_launch.c
            browser_listeners.c browser_profile.c browser_stderr.c browser_turns.c browser_watch.c)
target_link_libraries(scr_browser PUBLIC df_domain PRIVATE PkgConfig::JANSSON)
