/* fcgi/ignored.h - user_settings.ignored_phrases: lines that must not become a sale. Remembers the
 * phrases of the owner of each session for IGNORED_TTL_MS, so that a change counts within that time
 * and nearly no message costs a look into the database. One object per connection, no locking. */
#ifndef FCGI_IGNORED_H
#define FCGI_IGNORED_H

#include "shared/pg.h"

enum { MRS_IGNORED_TTL_MS = 2000 };

struct mrs_ignored;

/* To be prepared on the connection. Null: no list, an empty one, one too large to be meant; users
 * write what they like into their own settings. */
#define MRS_IGNORED_STATEMENT                                                                      \
    {                                                                                              \
        "ignored_phrases",                                                                         \
            "select s.id, case when u.ignored_phrases <> '[]'::jsonb"                              \
            "   and pg_column_size(u.ignored_phrases) <= 65536 then u.ignored_phrases::text end"   \
            "  from public.stream_sessions s"                                                      \
            "  join public.user_settings u on u.user_id = s.user_id"                               \
            " where s.id = any ($1::uuid[])"                                                       \
    }

/* On DF_OK the caller owns *out; `pg` is borrowed. DF_ENOMEM. */
enum df_code mrs_ignored_new(struct mrs_ignored **out, struct df_pg *pg,
                             struct df_error *err) DF_MUST_USE;
void mrs_ignored_free(struct mrs_ignored *ignored); /* NULL is fine */

/* Makes sure that the phrases of these sessions are known: one question for all that are not, and
 * none when all are. Codes as df_pg_execute. */
enum df_code mrs_ignored_learn(struct mrs_ignored *ignored, const struct df_uuid *sessions,
                               size_t count, int64_t deadline_ms, struct df_error *err) DF_MUST_USE;

/* True if the owner of the session, which was among the learnt ones, ignores this message. */
bool mrs_ignored_match(const struct mrs_ignored *ignored, const struct df_uuid *session,
                       const char *message, size_t message_len);

#endif
