/* scraper/page/scripts.h - the scripts of this folder, as embed.cmake puts them into the program.
 * Each is a piece of a function's body; rules.c puts the pieces together. */
#ifndef SCRAPER_PAGE_SCRIPTS_H
#define SCRAPER_PAGE_SCRIPTS_H

extern const char scr_page_count[], scr_page_rows[], scr_page_sequence[], scr_page_find[],
    scr_page_facts[], scr_page_cells[], scr_page_observer[], scr_page_discover[];

#endif
