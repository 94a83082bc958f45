/* fcgi/pipeline.h - one request from its first byte to its answer. Only pipeline.c knows the order
 * of the stages: auth, validate, store, analyse, capture, respond.
 *
 * A request never waits on a thread: where the store or the model server has to answer first, the
 * step returns, and the request is posted back to its event loop when the answer is there. */
#ifndef FCGI_PIPELINE_H
#define FCGI_PIPELINE_H

#include "fcgi/app.h"
#include "fcgi/loop.h"

/* Buffers of one loop, used within a step and never across steps. */
struct mrs_scratch {
    struct df_buf body;
    struct df_buf reply;
};

/* Private to pipeline.c. */
struct mrs_request {
    struct mrs_call call; /* first */
    struct mrs_app *app;
    struct mrs_scratch *scratch;
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

/* The service that the loops of monitor-realtime-stream run; app is borrowed. */
void mrs_pipeline_service(struct mrs_service *out, struct mrs_app *app);

#endif
