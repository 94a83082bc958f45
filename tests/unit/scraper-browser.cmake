df_unit_test(scr_loop scr_browser)
df_unit_test(scr_cdp scr_browser PkgConfig::JANSSON)
