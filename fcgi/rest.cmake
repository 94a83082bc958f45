# dealflow-rest, included by fcgi/CMakeLists.txt.
# Pure on purpose: no libpq here, so that parsing and SQL are tested without a database.
add_library(rst_query STATIC rest/arena.c rest/body.c rest/catalog.c rest/error.c rest/head.c
            rest/query.c rest/query_filter.c rest/query_select.c rest/sql.c rest/sql_where.c
            rest/sql_write.c)
target_link_libraries(rst_query PUBLIC df_domain PRIVATE PkgConfig::JANSSON)

add_library(rst_core STATIC rest/answer.c rest/caller.c rest/config.c rest/db.c rest/db_slot.c
            rest/service.c)
target_link_libraries(rst_core PUBLIC rst_query mrs_front df_domain
                      PRIVATE PkgConfig::LIBPQ PkgConfig::JANSSON PkgConfig::JOSE)

add_executable(dealflow-rest rest/main.c)
target_compile_definitions(dealflow-rest PRIVATE DF_VERSION="${PROJECT_VERSION}"
                           DF_COMMIT="${DF_COMMIT}")
target_link_libraries(dealflow-rest PRIVATE rst_core PkgConfig::FCGI)

install(TARGETS dealflow-rest RUNTIME DESTINATION bin)
install(FILES dealflow-rest.8 DESTINATION share/man/man8)
