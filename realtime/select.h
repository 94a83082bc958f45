/* realtime/select.h - leaves only chosen columns of a row. Works on the text, so that numbers stay as
 * Postgres printed them. Pure; the texts are Postgres's jsonb and our own JSON. */
#ifndef REALTIME_SELECT_H
#define REALTIME_SELECT_H

#include <stdbool.h>

#include "shared/buf.h"

/* Appends the members of a JSON object whose names are in `select` (a JSON array of texts), and those
 * that make up the key: `key` is the value of the primary key, or an object of its columns. What is no
 * JSON object is appended as it is. False: out of room. */
bool rt_select_record(struct df_buf *out, const char *object, const char *select, const char *key);
/* The same for the list of columns, [{"name":..,"type":..},..]; record tells which hold the key. */
bool rt_select_columns(struct df_buf *out, const char *columns, const char *record,
                       const char *select, const char *key);

#endif
