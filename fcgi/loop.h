/* fcgi/loop.h - event loops that serve FastCGI connections: read a request, start it, write its
 * answer. A connection stays with the loop that accepted it, so a request is only ever touched by
 * one thread; other threads hand it back through mrs_loop_post. */
#ifndef FCGI_LOOP_H
#define FCGI_LOOP_H

#include "fcgi/pipeline.h"

struct mrs_loop;

/* Starts `count` loops that accept from listen_fd (made non-blocking here; it stays the caller's).
 * FCGX_Init must have run. On DF_OK the caller owns *out, an array of `count` loops. */
enum df_code mrs_loops_start(struct mrs_loop **out, int64_t count, struct mrs_app *app,
                             int listen_fd, struct df_error *err) DF_MUST_USE;
/* True once every loop has ended: stop_fd is readable and the last request is answered. */
bool mrs_loops_ended(struct mrs_loop *loops, int64_t count);
/* Joins and frees; they must have ended. NULL is fine. */
void mrs_loops_free(struct mrs_loop *loops, int64_t count);

/* A loop without connections, for the one request of a CGI process. The caller owns *out and ends
 * it with mrs_loops_free(loop, 1). */
enum df_code mrs_loop_new_single(struct mrs_loop **out, struct mrs_app *app,
                                 struct df_error *err) DF_MUST_USE;
struct mrs_scratch *mrs_loop_scratch(struct mrs_loop *loop); /* borrowed */
/* Sleeps until a request is posted to the loop and returns it. */
struct mrs_request *mrs_loop_wait_single(struct mrs_loop *loop);

/* Hands a waiting request back to its loop, which resumes it. Any thread; never blocks. */
void mrs_loop_post(struct mrs_loop *loop, struct mrs_request *request);

#endif
