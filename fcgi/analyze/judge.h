/* fcgi/analyze/judge.h - verdicts for many lines by the embedded model, the model server, or both.
 */
#ifndef FCGI_ANALYZE_JUDGE_H
#define FCGI_ANALYZE_JUDGE_H

#include "fcgi/gateway_route.h"
#include "shared/intent.h"

struct an_judge {
    int analyzer; /* MRS_ANALYZE_LOCAL, _GATEWAY or _HYBRID */
    const struct df_intent_model *model;
    const struct mrs_route_rules *rules; /* who is asked about, and what may be spent */
    struct df_uuid session;              /* for its budget */
    struct mrs_gateway *gateway;         /* for gateway and hybrid */
    size_t ask_max;                      /* questions open at once: AI_MAX_IN_FLIGHT */
};

struct an_judged {
    bool is_answered;
    struct df_verdict verdict;
    const char *analyzer; /* MRS_ANALYZER_* */
    char model[96];
};

/* Judges lines[0..count), those for the model server ask_max at a time. A line without a usable
 * answer has is_answered false. The lines are borrowed for the call. DF_OK when any line was
 * answered or there was none; otherwise the last error of the model server. DF_ENOMEM. One thread.
 */
enum df_code an_judge_lines(const struct an_judge *judge, const struct df_chat_line *lines,
                            size_t count, struct an_judged *out, struct df_error *err) DF_MUST_USE;

#endif
