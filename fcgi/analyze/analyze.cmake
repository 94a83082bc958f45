# an_core: everything of dealflow-analyze but main(), so that tests can link single parts.
add_library(an_core STATIC analyze/dry_run.c analyze/explain.c analyze/jsonl.c analyze/line.c
            analyze/judge.c analyze/lines.c analyze/options.c analyze/print.c analyze/session.c
            analyze/session_sql.c analyze/setup.c)
target_link_libraries(an_core PUBLIC mrs_core PRIVATE PkgConfig::JANSSON PkgConfig::CURL)

add_executable(dealflow-analyze analyze/main.c)
target_compile_definitions(dealflow-analyze PRIVATE DF_VERSION="${PROJECT_VERSION}"
                           DF_COMMIT="${DF_COMMIT}")
target_link_libraries(dealflow-analyze PRIVATE an_core)
add_dependencies(dealflow-analyze intent_weights)

install(TARGETS dealflow-analyze RUNTIME DESTINATION bin)
install(FILES dealflow-analyze.8 DESTINATION share/man/man8)
