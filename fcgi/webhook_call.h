/* fcgi/webhook_call.h - one signed POST to an address that a user chose. */
#ifndef FCGI_WEBHOOK_CALL_H
#define FCGI_WEBHOOK_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/error.h"
#include "shared/uuid.h"

#define MRS_SIGNATURE_SIZE 100 /* "t=<20 digits>,v1=<64 hex digits>" and a NUL */

/* Writes the value of X-DealFlow-Signature for a body sent at unix_s. Pure. DF_EBUG: OpenSSL
 * failed. */
enum df_code mrs_webhook_sign(char out[MRS_SIGNATURE_SIZE], const char *secret, int64_t unix_s,
                              const char *body, size_t body_len, struct df_error *err) DF_MUST_USE;

struct mrs_webhook_policy {
    bool allow_private; /* any address, and http: for tests and for receivers on the own network */
    int64_t timeout_ms; /* the whole call */
};

/* What is sent; borrowed for mrs_webhook_call_new only. */
struct mrs_webhook_event {
    struct df_uuid sale, owner;
    int attempts;           /* that failed so far */
    const char *url, *body; /* NUL-terminated; url NULL: the user took it away */
    const char *secret;
};

struct mrs_webhook_call;

/* Prepares a call: nothing is sent before its easy handle is in a multi handle, where the call is
 * found again through CURLOPT_PRIVATE. https only, no redirects, no proxy, no cookies, addresses
 * that are not public refused after the name was resolved (of what libcurl then connects to, so a
 * name that resolves differently the next time gains nothing), at most 64 KiB of an answer. On
 * DF_OK the caller owns *out. DF_EINPUT: url that cannot be called, err->msg says why. DF_ENOMEM.
 */
enum df_code mrs_webhook_call_new(struct mrs_webhook_call **out,
                                  const struct mrs_webhook_event *event,
                                  const struct mrs_webhook_policy *policy,
                                  struct df_error *err) DF_MUST_USE;
void mrs_webhook_call_free(struct mrs_webhook_call *call);  /* NULL is fine; not inside a multi */
void *mrs_webhook_call_easy(struct mrs_webhook_call *call); /* the CURL *, owned by the call */

struct mrs_webhook_result {
    struct df_uuid sale, owner;
    int attempts;
    bool is_delivered, was_refused; /* refused: the address is not public */
    long status;                    /* 0: no answer */
    int64_t retry_after_ms;         /* what the receiver asks for; 0: nothing */
    char error[200];                /* "" when delivered */
    const char *url;                /* that was called; of the call, and lives as long */
};

/* After libcurl ended the transfer with `curl_code`. */
void mrs_webhook_call_result(const struct mrs_webhook_call *call, int curl_code,
                             struct mrs_webhook_result *out);

#endif
