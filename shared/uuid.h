/* shared/uuid.h - UUIDs as 16 bytes (RFC 9562). Pure but for the random source. Any thread. */
#ifndef SHARED_UUID_H
#define SHARED_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct df_uuid {
    uint8_t bytes[16];
};

#define DF_UUID_TEXT_SIZE 37 /* 36 characters and a NUL */

/* Reads the spellings Postgres accepts and our contract needs: 8-4-4-4-12 or 32 hex digits, either
 * case, optionally in braces. No surrounding space. False leaves *out untouched. */
bool df_uuid_parse(struct df_uuid *out, const char *text, size_t text_len);
/* Writes the lower-case 8-4-4-4-12 form and a NUL. */
void df_uuid_format(char out[DF_UUID_TEXT_SIZE], const struct df_uuid *uuid);
/* A new time-ordered id (version 7): ids of one process sort by the time they were made, so that
 * they land on the right edge of an index and break ties of created_at in order of arrival. */
void df_uuid_new_v7(struct df_uuid *out);
bool df_uuid_equal(const struct df_uuid *a, const struct df_uuid *b);

#endif
