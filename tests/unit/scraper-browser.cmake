df_unit_test(scr_loop scr_browser)
df_unit_test(scr_cdp scr_browser PkgConfig::JANSSON)
df_unit_test(scr_proctree scr_browser)
