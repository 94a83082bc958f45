/* tests/unit/rst_catalog_sample.h - a small catalogue, for unit tests and fuzz targets of
 * dealflow-rest. */
#ifndef TESTS_RST_CATALOG_SAMPLE_H
#define TESTS_RST_CATALOG_SAMPLE_H

#include <stdlib.h>

#include "fcgi/rest/catalog.h"

/* Sorted as no collation would: the catalogue sorts for itself. */
static const struct rst_catalog_row sample_rows[] = {
    {"things", "things", "id", "id", "integer", NULL, "1"},
    {"things", "things", "name", "name", "text", "'none'::text", "0"},
    {"things", "things", "n", "n", "numeric(10,2)", NULL, "0"},
    {"things", "things", "data", "data", "jsonb", NULL, "0"},
    {"things", "things", "Odd \"one", "\"Odd \"\"one\"", "text", NULL, "0"},
    {"pairs", "pairs", "b", "b", "uuid", NULL, "2"},
    {"pairs", "pairs", "a", "a", "uuid", "gen_random_uuid()", "1"},
    {"pairs", "pairs", "at", "at", "timestamp with time zone", "now()", "0"},
    {"seen", "seen", "id", "id", "integer", NULL, "0"},
    {"_", "_", "_", "_", "text", NULL, "0"},
};

static struct rst_catalog_row sample_row(void *ctx, size_t i)
{
    (void)ctx;
    return sample_rows[i];
}

static struct rst_catalog *sample_catalog(void)
{
    struct rst_catalog *catalog = NULL;
    if (rst_catalog_new(&catalog, "public", "public", sizeof sample_rows / sizeof sample_rows[0],
                        sample_row, NULL, NULL) != DF_OK)
        abort();
    return catalog;
}

#endif
