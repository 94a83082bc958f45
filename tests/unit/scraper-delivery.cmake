df_unit_test(scr_outbox scr_delivery PkgConfig::SQLITE)
df_unit_test(scr_lane scr_delivery)
