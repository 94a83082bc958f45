df_unit_test(scr_frames scr_page)
df_unit_test(scr_report scr_page)
df_unit_test(scr_history scr_page)
df_unit_test(scr_rules scr_page)
target_compile_definitions(test_scr_rules PRIVATE
    RULES_FILE="${PROJECT_SOURCE_DIR}/scraper/page/rules.json")

# For tests/integration/scraper-page.test.mjs: the scripts, and the judgement of what they report.
add_executable(page_judge page_judge.c)
target_link_libraries(page_judge PRIVATE scr_page PkgConfig::JANSSON)
