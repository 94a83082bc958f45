/* fcgi/analyze/judge.c - asks for many verdicts at once and waits for all. */
#include "fcgi/analyze/judge.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "fcgi/config.h"
#include "fcgi/store.h"

struct round {
    pthread_mutex_t lock;
    pthread_cond_t has_room; /* a question was answered */
    size_t open;             /* under the lock */
};

struct question {
    struct mrs_ask ask;
    struct mrs_gateway_answer answer;
    struct df_error error;
    struct an_judged *out;
    struct round *round;
};

static void judge_locally(const struct an_judge *judge, const struct df_chat_line *line,
                          struct an_judged *out)
{
    df_intent_classify(judge->model, line, &out->verdict);
    out->analyzer = MRS_ANALYZER_LOCAL;
    out->is_answered = true;
    (void)snprintf(out->model, sizeof out->model, "%s", df_intent_model_name(judge->model));
}

/* On the gateway's thread. */
static void on_done(struct mrs_ask *ask)
{
    struct question *q = ask->context;
    pthread_mutex_lock(&q->round->lock);
    q->round->open--;
    pthread_cond_signal(&q->round->has_room);
    pthread_mutex_unlock(&q->round->lock);
}

static void wait_until_open_is(struct round *round, size_t wanted)
{
    pthread_mutex_lock(&round->lock);
    while (round->open > wanted)
        pthread_cond_wait(&round->has_room, &round->lock);
    pthread_mutex_unlock(&round->lock);
}

static void ask_about(const struct an_judge *judge, struct question *q,
                      const struct df_chat_line *line)
{
    q->ask = (struct mrs_ask){.line = line,
                              .out = &q->answer,
                              .err = &q->error,
                              .on_done = on_done,
                              .context = q,
                              .session = judge->session,
                              .is_patient = true};
    wait_until_open_is(q->round, judge->ask_max - 1); /* the gateway refuses what it cannot queue */
    pthread_mutex_lock(&q->round->lock);
    q->round->open++;
    pthread_mutex_unlock(&q->round->lock);
    enum df_code rc = mrs_gateway_submit(judge->gateway, &q->ask);
    if (rc != DF_OK) {
        q->ask.code = rc;
        on_done(&q->ask);
    }
}

static void take_verdict(const struct mrs_gateway_answer *answer, struct an_judged *out)
{
    out->is_answered = true;
    out->verdict = answer->verdict;
    out->analyzer = MRS_ANALYZER_GATEWAY;
    (void)snprintf(out->model, sizeof out->model, "%s", answer->model);
}

/* What the budget did not pay for keeps the embedded model's verdict: that is no failure. */
static void take_answer(struct question *q, struct df_error *last)
{
    if (q->ask.code == DF_OK) {
        take_verdict(&q->answer, q->out);
    } else if (!q->answer.over_budget) {
        q->out->is_answered = false;
        *last = q->error;
    }
}

/* True when the embedded model or an earlier answer decided: as the function does it. */
static bool decide_without_asking(const struct an_judge *judge, const struct df_chat_line *line,
                                  struct an_judged *out)
{
    struct mrs_gateway_answer answer = {0};

    judge_locally(judge, line, out);
    if (judge->analyzer == MRS_ANALYZE_LOCAL)
        return true;
    enum mrs_route route =
        mrs_route(judge->rules, judge->gateway, line, &out->verdict, &judge->session, &answer);
    if (route == MRS_ROUTE_CACHED)
        take_verdict(&answer, out);
    return route != MRS_ROUTE_ASK;
}

enum df_code an_judge_lines(const struct an_judge *judge, const struct df_chat_line *lines,
                            size_t count, struct an_judged *out, struct df_error *err)
{
    struct round round = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    struct question *questions = NULL;
    struct df_error last = {0};
    size_t asked = 0, answered = 0;

    if (judge->analyzer != MRS_ANALYZE_LOCAL) {
        questions = calloc(count + 1, sizeof *questions);
        if (questions == NULL)
            return df_error_set(err, DF_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        if (decide_without_asking(judge, &lines[i], &out[i]))
            continue;
        questions[asked] = (struct question){.out = &out[i], .round = &round};
        ask_about(judge, &questions[asked++], &lines[i]);
    }
    wait_until_open_is(&round, 0);
    for (size_t i = 0; i < asked; i++)
        take_answer(&questions[i], &last);
    for (size_t i = 0; i < count; i++)
        answered += out[i].is_answered;
    free(questions);
    pthread_mutex_destroy(&round.lock);
    pthread_cond_destroy(&round.has_room);
    if (count > 0 && answered == 0) {
        *err = last;
        return last.code;
    }
    return DF_OK;
}
