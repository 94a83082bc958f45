/* fcgi/pipeline.h - one request from its first byte to its answer. Only pipeline.c knows the order
 * of the stages: auth, validate, store, analyse, capture, respond. */
#ifndef FCGI_PIPELINE_H
#define FCGI_PIPELINE_H

#include "fcgi/app.h"
#include "fcgi/io.h"
#include "shared/buf.h"

/* Buffers of one worker, reused from request to request. */
struct mrs_scratch {
    struct df_buf body;
    struct df_buf reply;
};

void mrs_scratch_init(struct mrs_scratch *scratch);
void mrs_scratch_release(struct mrs_scratch *scratch);

/* Handles one request and writes its answer. Any thread, each with its own scratch. */
void mrs_pipeline_run(struct mrs_app *app, const struct mrs_io *io, struct mrs_scratch *scratch);

#endif
