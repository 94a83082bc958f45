add_library(scr_browser STATIC loop.c cdp.c cdp_methods.c proctree.c browser.c browser_launch.c
            browser_listeners.c browser_profile.c browser_stderr.c browser_turns.c browser_watch.c
            discover.c discover_parse.c)
# discover.c looks up as well: it reads the rules and judges addresses.
target_link_libraries(scr_browser PUBLIC df_domain PRIVATE scr_page scr_server PkgConfig::JANSSON m)
