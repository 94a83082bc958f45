/* fcgi/gateway_route.h - who judges a line: the embedded model, an earlier answer, or the model
 * server. All the switches that save calls meet here, cheapest first. */
#ifndef FCGI_GATEWAY_ROUTE_H
#define FCGI_GATEWAY_ROUTE_H

#include <stdbool.h>

#include "fcgi/gateway.h"
#include "shared/error.h"
#include "shared/intent.h"

/* clang-format off */
enum mrs_route {
    MRS_ROUTE_ASK,    /* the model server */
    MRS_ROUTE_CACHED, /* its earlier answer about the same text: *answer is filled */
    /* the embedded model, because ... */
    MRS_ROUTE_SURE,   /* it is sure enough */
    MRS_ROUTE_USER,   /* this user is not asked about */
    MRS_ROUTE_WORDS,  /* the line has no word of a buyer */
    MRS_ROUTE_ORDERS, /* the line speaks to the model */
    MRS_ROUTE_BUDGET, /* the money is spent */
    MRS_ROUTE_COUNT,
};
/* clang-format on */

struct mrs_route_options {
    bool is_hybrid;        /* ask only where the embedded model is unsure, and never for orders */
    const char *prefilter; /* AI_PREFILTER: "off", "on", or a comma list of words and phrases */
    const char *only_users, *skip_users; /* comma lists, '*' at an end stands for anything; NULL */
};

struct mrs_route_rules; /* once set up immutable: any thread */

/* Copies the options. The caller owns *out. DF_EINPUT names the setting; DF_ENOMEM. */
enum df_code mrs_route_rules_new(struct mrs_route_rules **out,
                                 const struct mrs_route_options *options,
                                 struct df_error *err) DF_MUST_USE;
void mrs_route_rules_free(struct mrs_route_rules *rules); /* NULL is fine */

/* Where the embedded model is unsure: low <= confidence < high (df_intent_band). Nowhere, at first. */
void mrs_route_rules_set_band(struct mrs_route_rules *rules, double low, double high);

/* Decides. `local` is the embedded model's verdict, needed when is_hybrid. `gateway` is asked for
 * remembered answers and money, never over the network; `session` may be all zero. */
enum mrs_route mrs_route(const struct mrs_route_rules *rules, struct mrs_gateway *gateway,
                         const struct df_chat_line *line, const struct df_verdict *local,
                         const struct df_uuid *session, struct mrs_gateway_answer *answer);

/* The parts that only look at texts, for tests and the cost bench. */
bool mrs_route_has_word(const struct mrs_route_rules *rules, const struct df_chat_line *line);
bool mrs_route_wants_user(const struct mrs_route_rules *rules, const struct df_chat_line *line);

#endif
