/* fcgi/app.h - what the parts of the running program share. */
#ifndef FCGI_APP_H
#define FCGI_APP_H

#include <pthread.h>

#include "fcgi/auth.h"
#include "fcgi/config.h"
#include "fcgi/gateway.h"
#include "fcgi/gateway_route.h"
#include "fcgi/inflight.h"
#include "fcgi/loop.h"
#include "fcgi/store.h"
#include "shared/intent.h"

/* One generation of everything that SIGHUP may change; immutable while anybody holds it. */
struct mrs_runtime {
    struct mrs_config config;
    struct mrs_auth *auth;
    struct df_capture_rule capture_rule;
    int analyzer; /* MRS_ANALYZE_*, never AUTO */
    struct mrs_route_rules *rules;
    int refs;     /* under app->lock */
};

struct mrs_app {
    pthread_mutex_t lock;
    struct mrs_runtime *runtime; /* current generation; under lock */

    struct mrs_store *store;
    struct mrs_gateway *gateway;   /* NULL unless the analyzer needs it */
    struct df_intent_model *model; /* NULL with ANALYZER=off */
    struct mrs_inflight *inflight;
    struct mrs_traffic traffic;
};

/* Builds a generation from the environment. `old` may be NULL. The caller owns *out. */
enum df_code mrs_runtime_new(struct mrs_runtime **out, struct mrs_runtime *old,
                             struct df_error *err) DF_MUST_USE;
/* Sets the band in which a hybrid asks, which the model knows. Before the generation is shared. */
void mrs_runtime_set_band(struct mrs_runtime *runtime, const struct df_intent_model *model);
/* Takes a reference to the current generation; give it back with mrs_runtime_put. Any thread. */
struct mrs_runtime *mrs_runtime_get(struct mrs_app *app);
void mrs_runtime_put(struct mrs_app *app, struct mrs_runtime *runtime);
/* Makes `next` the current generation (ownership moves to the app). */
void mrs_runtime_give(struct mrs_app *app, struct mrs_runtime *next);

/* CAPTURE_TYPES as a mask of 1 << enum df_message_type. DF_EINPUT: an unknown name. */
enum df_code mrs_capture_types_parse(const char *list, unsigned *mask,
                                     struct df_error *err) DF_MUST_USE;

/* The rules of mrs_route for an analyzer (MRS_ANALYZE_*), with the band that the model knows; `model`
 * may be NULL where nobody judges or only the model server. The caller owns *out. DF_EINPUT, DF_ENOMEM. */
enum df_code mrs_route_rules_from(struct mrs_route_rules **out, const struct mrs_config *config,
                                  int analyzer, struct df_error *err) DF_MUST_USE;
void mrs_route_rules_band_from(struct mrs_route_rules *rules, const struct mrs_config *config,
                               const struct df_intent_model *model);

/* The options of the model client for these settings; strings are borrowed from config. */
void mrs_gateway_options_from(struct mrs_gateway_options *out, const struct mrs_config *config);

#endif
