# The scripts that run in pages become part of the program; the rules stay a file beside it, because
# they are the operator's to change.
set(page_scripts count rows sequence find facts cells observer discover)
list(TRANSFORM page_scripts REPLACE "(.+)" "${CMAKE_CURRENT_SOURCE_DIR}/page/\\1.js"
     OUTPUT_VARIABLE page_script_files)
list(JOIN page_scripts "," page_script_names)
add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/page_scripts.c
    COMMAND ${CMAKE_COMMAND} -DOUT=${CMAKE_CURRENT_BINARY_DIR}/page_scripts.c
            -DDIR=${CMAKE_CURRENT_SOURCE_DIR}/page -DNAMES=${page_script_names}
            -P ${CMAKE_CURRENT_SOURCE_DIR}/page/embed.cmake
    DEPENDS ${page_script_files} ${CMAKE_CURRENT_SOURCE_DIR}/page/embed.cmake VERBATIM
    COMMENT "Embedding the page scripts")

set(SCRAPER_RULES ${CMAKE_BINARY_DIR}/share/dealflow/scraper-rules.json)
add_custom_command(OUTPUT ${SCRAPER_RULES}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/share/dealflow
    COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_SOURCE_DIR}/page/rules.json ${SCRAPER_RULES}
    DEPENDS page/rules.json VERBATIM)
add_custom_target(scraper_rules ALL DEPENDS ${SCRAPER_RULES})

add_library(scr_page STATIC line.c line_json.c frames.c report.c history.c rules.c
            ${CMAKE_CURRENT_BINARY_DIR}/page_scripts.c)
target_link_libraries(scr_page PUBLIC df_domain PRIVATE PkgConfig::JANSSON)
add_dependencies(scr_page scraper_rules)
