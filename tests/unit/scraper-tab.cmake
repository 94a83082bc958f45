df_unit_test(scr_limits scr_tab_policy)
df_unit_test(scr_source scr_tab_policy)
df_unit_test(scr_tab_foreign scr_tab)
