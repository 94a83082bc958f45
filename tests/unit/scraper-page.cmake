df_unit_test(scr_frames scr_page)
df_unit_test(scr_report scr_page)
df_unit_test(scr_history scr_page)
