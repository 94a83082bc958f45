if(TARGET scr_monitor)
    foreach(module scr_verdict scr_shots)
        df_unit_test(${module} scr_monitor)
    endforeach()
    set_tests_properties(unit.scr_verdict PROPERTIES ENVIRONMENT
                         DF_INTENT_WEIGHTS=${CMAKE_BINARY_DIR}/share/dealflow/intent.weights)
    add_dependencies(test_scr_verdict intent_weights)
endif()
