if(NOT (TARGET rt_hub AND TARGET rt_changes))
    return()
endif()
add_executable(dealflow-realtime main.c)
target_compile_definitions(dealflow-realtime PRIVATE DF_VERSION="${PROJECT_VERSION}"
                           DF_COMMIT="${DF_COMMIT}")
target_link_libraries(dealflow-realtime PRIVATE rt_hub rt_changes rt_server rt_wire)
install(TARGETS dealflow-realtime RUNTIME DESTINATION bin)
install(FILES dealflow-realtime.8 DESTINATION share/man/man8)
