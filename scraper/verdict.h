/* scraper/verdict.h - the instant verdict about a captured line, by the embedded model. Pure. */
#ifndef SCRAPER_VERDICT_H
#define SCRAPER_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "scraper/line.h"
#include "shared/intent.h"

struct scr_verdict {
    struct df_verdict judged;
    bool is_buyer;    /* worth an alert: the capture rule says so, and it is no host or moderator */
    bool is_question; /* about a product or a price */
};

/* model NULL: nobody is a buyer. Any thread; never fails. */
void scr_verdict_make(struct scr_verdict *out, const struct df_intent_model *model,
                      const struct df_capture_rule *rule, const char *platform,
                      const char *username, const char *text, enum scr_kind kind,
                      enum scr_role role);

/* Why it is an alert, for people: "wants to buy, offers $20". Returns out. */
const char *scr_verdict_reason(char *out, size_t out_size, const struct scr_verdict *verdict);

#endif
