add_library(scr_delivery STATIC capture.c outbox.c outbox_sql.c outbox_rows.c lane.c endpoint.c
            alarm.c latency.c post.c owner.c sender.c sender_rows.c sender_answer.c
            delivery.c delivery_write.c delivery_thread.c)
target_link_libraries(scr_delivery PUBLIC df_domain
                      PRIVATE PkgConfig::SQLITE PkgConfig::CURL PkgConfig::JANSSON)

# Test helper: captures of tests/integration/scraper-delivery.test.mjs on standard input, events on
# output.
add_executable(delivery_probe delivery_probe.c)
target_link_libraries(delivery_probe PRIVATE scr_delivery PkgConfig::CURL PkgConfig::JANSSON)
