/* scraper/post.h - one line on its way to the function: an easy handle of libcurl with its body.
 * Belongs to the delivery thread. */
#ifndef SCRAPER_POST_H
#define SCRAPER_POST_H

#include <stdbool.h>
#include <stdint.h>

#include "scraper/lane.h"
#include "shared/buf.h"

struct scr_endpoint_settings {
    char *url;                 /* of the function */
    struct curl_slist *headers;
    const char *platform;      /* borrowed */
    int64_t timeout_ms;
};

/* Builds address and headers. Both unset: DF_ENOTFOUND, nothing can be posted. DF_EINPUT: the address
 * or key cannot be one (control bytes, no http). */
enum df_code scr_endpoint_settings_init(struct scr_endpoint_settings *out,
                                        const struct scr_config *config,
                                        struct df_error *err) DF_MUST_USE;
void scr_endpoint_settings_release(struct scr_endpoint_settings *settings);

/* What CURLOPT_PRIVATE of every transfer on the delivery thread points to; its owner's first member. */
struct scr_transfer {
    void *easy;
    void (*on_done)(void *user, struct scr_transfer *transfer, int curl_result);
    void *user;
};

struct scr_post {
    struct scr_transfer transfer;
    struct scr_post *next; /* among the idle ones */
    struct scr_lane *lane; /* borrowed while it flies */
    struct scr_item *item;
    bool is_behind; /* sent although the line before it waits: is that one the cause? */
    int64_t started_ns;
    size_t answer_bytes;
    struct df_buf body;
};

/* The body of one line: the contract's five fields. False: no memory. */
bool scr_post_encode(struct df_buf *out, const struct scr_item *item, const char *session,
                     const char *platform);

/* NULL: out of memory. */
struct scr_post *scr_post_new(const struct scr_endpoint_settings *settings);
void scr_post_free(struct scr_post *post);
/* Ready to be added to a multi handle. False: out of memory. */
bool scr_post_prepare(struct scr_post *post, const struct scr_endpoint_settings *settings,
                      struct scr_lane *lane, struct scr_item *item);
/* After it is done: the status (0: no answer), and the time the other end asked to wait. */
int scr_post_status(const struct scr_post *post, int curl_result, int64_t *retry_after_ms);

#endif
