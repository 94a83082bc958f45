df_unit_test(rt_plan rt_changes)
df_unit_test(rt_ids rt_changes)
df_unit_test(rt_cuts rt_changes)
