# cmake -DOUT=FILE.c -DDIR=FOLDER -DNAMES=a,b -P embed.cmake
# Writes DIR/a.js, DIR/b.js as NUL-terminated arrays scr_page_a, scr_page_b, so that the program needs
# no files to run them and no tool but CMake to be built. The files must be ASCII: plain char may be
# signed.
string(REPLACE "," ";" names "${NAMES}")
set(text "/* made by scraper/page/embed.cmake */\n#include \"scraper/page/scripts.h\"\n")
foreach(name IN LISTS names)
    file(READ ${DIR}/${name}.js bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    if(bytes MATCHES "0x[89a-f]")
        message(FATAL_ERROR "${DIR}/${name}.js: not ASCII")
    endif()
    string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)"
           "\\1\n" bytes "${bytes}")
    string(APPEND text "\nconst char scr_page_${name}[] = {\n${bytes}0};\n")
endforeach()
file(WRITE ${OUT} "${text}")
