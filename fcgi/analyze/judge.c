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
    q->ask = (struct mrs_ask){
        .line = line, .out = &q->answer, .err = &q->error, .on_done = on_done, .context = q};
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

static void take_answer(struct question *q, struct df_error *last)
{
    q->out->is_answered = q->ask.code == DF_OK;
    if (q->ask.code != DF_OK) {
        *last = q->error;
        return;
    }
    q->out->verdict = q->answer.verdict;
    q->out->analyzer = MRS_ANALYZER_GATEWAY;
    (void)snprintf(q->out->model, sizeof q->out->model, "%s", q->answer.model);
}

static bool is_unsure(const struct an_judge *judge, const struct an_judged *local)
{
    double c = local->verdict.confidence;
    return c >= judge->low && c < judge->high;
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
        if (judge->analyzer != MRS_ANALYZE_GATEWAY)
            judge_locally(judge, &lines[i], &out[i]);
        if (judge->analyzer == MRS_ANALYZE_LOCAL ||
            (judge->analyzer == MRS_ANALYZE_HYBRID && !is_unsure(judge, &out[i])))
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
