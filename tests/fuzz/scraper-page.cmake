df_fuzz_target(scr_frame scr_page)
df_fuzz_target(scr_report scr_page)
df_fuzz_target(scr_history scr_page)
