/* fcgi/pipeline.h - one request from its first byte to its answer. Only pipeline.c knows the order
 * of the stages: auth, validate, store, analyse, capture, respond.
 *
 * A request never waits on a thread: where the store or the model server has to answer first, the
 * step returns, and the request is posted back to its event loop when the answer is there. */
#ifndef FCGI_PIPELINE_H
#define FCGI_PIPELINE_H

#include "fcgi/app.h"
#include "fcgi/io.h"
#include "shared/buf.h"

/* Buffers of one loop, used within a step and never across steps. */
struct mrs_scratch {
    struct df_buf body;
    struct df_buf reply;
};

struct mrs_loop;

enum mrs_progress {
    MRS_WAITING, /* will be posted to its loop; do not touch it until then */
    MRS_ANSWERED /* scratch->reply holds the whole answer */
};

struct mrs_request {
    /* set by the owner before mrs_pipeline_start */
    struct mrs_app *app;
    struct mrs_loop *loop;
    struct mrs_scratch *scratch;
    struct mrs_io io;

    struct mrs_request *next; /* link of the loop's list of posted requests */
    bool left_body_unread;    /* out: the connection cannot be used again */

    /* private to pipeline.c */
    struct mrs_runtime *runtime;
    enum mrs_progress (*step)(struct mrs_request *request);
    int64_t started_ns, waiting_since_ns;
    struct df_uuid id; /* sb-request-id */
    struct mrs_caller caller;
    bool has_message, is_in_flight;
    struct df_message message;
    struct mrs_job job;
    struct df_chat_line line;
    struct mrs_inflight_entry entry;
    struct mrs_ask ask;
    struct mrs_gateway_answer answer;
    struct df_error error;
    int status;
};

void mrs_scratch_init(struct mrs_scratch *scratch);
void mrs_scratch_release(struct mrs_scratch *scratch);

/* Begins a request whose io is ready to be read. The loop's thread only, like mrs_pipeline_resume.
 */
enum mrs_progress mrs_pipeline_start(struct mrs_request *request);
/* Goes on with a request that was posted. */
enum mrs_progress mrs_pipeline_resume(struct mrs_request *request);

#endif
