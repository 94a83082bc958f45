df_fuzz_target(scr_cdp scr_browser PkgConfig::JANSSON)
df_fuzz_target(scr_discover scr_browser)
