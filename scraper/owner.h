/* scraper/owner.h - asks the REST interface, with a caller's own token, whether a session is visible
 * to that caller. Belongs to the delivery thread. */
#ifndef SCRAPER_OWNER_H
#define SCRAPER_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "scraper/capture.h"

/* status: of the answer, 0 when none came or the question made no sense. */
typedef void scr_owner_answer_fn(void *user, uint64_t token, bool is_owner, int status);

struct scr_owner_desk;

/* multi is a CURLM, borrowed. base_url NULL: every answer is no, status 0. NULL: out of memory. */
struct scr_owner_desk *scr_owner_new(const char *base_url, void *multi,
                                     scr_owner_answer_fn *on_answer, void *user);
void scr_owner_free(struct scr_owner_desk *desk); /* open questions stay unanswered; NULL is fine */

/* Takes the question. Answered exactly once, at once when it makes no sense or too many wait. */
void scr_owner_ask(struct scr_owner_desk *desk, struct scr_question_order *question);

#endif
