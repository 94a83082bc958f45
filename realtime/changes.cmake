add_library(rt_changes STATIC changes.c reader.c window.c control.c catch_up.c resolve.c visible.c
            entry.c cuts.c stretch.c plan.c ids.c db.c)
target_link_libraries(rt_changes PUBLIC df_base PRIVATE PkgConfig::LIBPQ PkgConfig::JANSSON)

# Test helper: plans and questions of tests/integration/realtime-changes.test.mjs on standard input,
# events on output.
add_executable(changes_probe changes_probe.c)
target_link_libraries(changes_probe PRIVATE rt_changes PkgConfig::JANSSON)
