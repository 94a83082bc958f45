/* fcgi/reply.h - the answers of the public contract, byte for byte (edge contract 1.3, 2.2). */
#ifndef FCGI_REPLY_H
#define FCGI_REPLY_H

#include "fcgi/auth.h"
#include "shared/buf.h"
#include "shared/error.h"
#include "shared/intent.h"
#include "shared/uuid.h"

/* Each writes one whole CGI answer, headers and body, into `out` (emptied first) and returns its
 * HTTP status. `request_id` becomes sb-request-id. Nothing is sent yet. */
int mrs_reply_preflight(struct df_buf *out, const struct df_uuid *request_id);
int mrs_reply_method(struct df_buf *out, const struct df_uuid *request_id);
int mrs_reply_refused(struct df_buf *out, const struct df_uuid *request_id,
                      const struct mrs_refusal *refusal);
int mrs_reply_error(struct df_buf *out, const struct df_uuid *request_id,
                    const struct df_error *error, int64_t retry_after_s);
/* Stored, but nobody judged it. */
int mrs_reply_skipped(struct df_buf *out, const struct df_uuid *request_id);
int mrs_reply_analysed(struct df_buf *out, const struct df_uuid *request_id,
                       const struct df_verdict *verdict, bool captured);

#endif
