/* fcgi/gateway_cache.h - remembers the model server's verdicts on texts that chat repeats, so that
 * a text is paid for once. Bounded: the entry used longest ago leaves first, and each leaves after
 * its time. Any thread; a lock of its own, held for a look-up only. */
#ifndef FCGI_GATEWAY_CACHE_H
#define FCGI_GATEWAY_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/error.h"
#include "shared/intent.h"

#define MRS_CACHE_KEY_MAX 240 /* longer texts hardly repeat */

struct mrs_cache;

struct mrs_cache_stats {
    uint64_t hits, misses;
    int64_t entries;
};

/* At most entry_max texts (0: remembers nothing), each for ttl_ms. The caller owns *out.
 * DF_ENOMEM. */
enum df_code mrs_cache_new(struct mrs_cache **out, size_t entry_max, int64_t ttl_ms,
                           struct df_error *err) DF_MUST_USE;
void mrs_cache_free(struct mrs_cache *cache); /* NULL is fine */

/* Forgets everything and takes new limits: another model or prompt may say something else.
 * DF_ENOMEM: the old limits stay, but everything is forgotten. */
enum df_code mrs_cache_reset(struct mrs_cache *cache, size_t entry_max, int64_t ttl_ms,
                             struct df_error *err) DF_MUST_USE;

/* The key of a line: its message in canonical form (df_intent_normalise). The verdict on a text
 * holds for everybody but hosts, moderators and bots, who are never buyers: their lines have no key,
 * nor have texts longer than MRS_CACHE_KEY_MAX. Returns its length, 0 for none. Pure. */
size_t mrs_cache_key(char key[MRS_CACHE_KEY_MAX], const struct df_chat_line *line);

/* True, *verdict and model (model_size bytes) filled, when the text is known. The item is given
 * only where its very words stand in this line's message. now_ms is monotonic. */
bool mrs_cache_get(struct mrs_cache *cache, const struct df_chat_line *line, int64_t now_ms,
                   struct df_verdict *verdict, char *model, size_t model_size);
/* Remembers a verdict; never fails: out of memory it stays unremembered. */
void mrs_cache_put(struct mrs_cache *cache, const struct df_chat_line *line, int64_t now_ms,
                   const struct df_verdict *verdict, const char *model);

void mrs_cache_stats(struct mrs_cache *cache, struct mrs_cache_stats *out);

#endif
