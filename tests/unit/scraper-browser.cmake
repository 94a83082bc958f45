df_unit_test(scr_loop scr_browser)
df_unit_test(scr_cdp scr_browser PkgConfig::JANSSON)
df_unit_test(scr_proctree scr_browser)
df_unit_test(scr_browser_parts scr_browser)
df_unit_test(scr_browser scr_browser PkgConfig::JANSSON)
df_unit_test(scr_discover scr_browser)
# It starts two dozen processes and waits out real pauses.
set_tests_properties(unit.scr_browser PROPERTIES TIMEOUT 120)
