/* fcgi/gateway_settings.h - the gateway's options, checked and made ready for libcurl. */
#ifndef FCGI_GATEWAY_SETTINGS_H
#define FCGI_GATEWAY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/gateway.h"
#include "shared/error.h"

struct curl_slist;

#define MRS_MODELS_MAX 16

struct mrs_settings { /* immutable but for refs, which only the gateway's thread touches */
    int refs;
    char *url;
    struct curl_slist *headers;
    char *model_text; /* the list, cut in place; models[] point into it */
    const char *models[MRS_MODELS_MAX];
    size_t model_count;
    enum mrs_gateway_mode mode;
    int64_t timeout_ms, connect_timeout_ms, in_flight_max;
    int64_t batch_ms, batch_max;
    struct mrs_budget_limits budget;
    bool use_breaker, retry_billed, send_temperature, send_max_tokens;
};

/* On DF_OK the caller owns *out with one reference. DF_EINPUT names what is wrong, never a key. */
enum df_code mrs_settings_new(struct mrs_settings **out, const struct mrs_gateway_options *options,
                              struct df_error *err) DF_MUST_USE;
void mrs_settings_drop(struct mrs_settings *settings); /* the last reference wipes and frees */

#endif
