/* fcgi/analyze/explain.c - a verdict and its reasons on a terminal. */
#include "fcgi/analyze/explain.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/analyze/print.h"

enum { REASONS_MAX = 8, BAR_MAX = 24 };

#define BAR_FULL_WEIGHT 3.0 /* log-odds: e^3 is twenty to one */

static const char *colour(const struct an_explain *e, const char *code)
{
    return e->in_colour ? code : "";
}

#define GREEN(e) colour(e, "\033[32m")
#define RED(e)   colour(e, "\033[31m")
#define BOLD(e)  colour(e, "\033[1m")
#define DIM(e)   colour(e, "\033[2m")
#define PLAIN(e) colour(e, "\033[0m")

static void print_bar(const struct an_explain *e, const struct df_intent_reason *reason)
{
    int len = (int)lround(fabs(reason->weight) / BAR_FULL_WEIGHT * BAR_MAX);
    if (len > BAR_MAX)
        len = BAR_MAX;
    if (len < 1)
        len = 1;
    (void)fprintf(e->out, "  %+6.2f  %s", reason->weight, reason->weight > 0 ? GREEN(e) : RED(e));
    for (int i = 0; i < BAR_MAX; i++)
        (void)fputc(i < len ? (reason->weight > 0 ? '+' : '-') : ' ', e->out);
    (void)fprintf(e->out, "%s  ", PLAIN(e));
    an_print_safely(e->out, reason->text, strlen(reason->text));
    (void)fputc('\n', e->out);
}

static void print_verdict(const struct an_explain *e, const struct df_verdict *v)
{
    (void)fprintf(e->out, "  %s%s%s%s  confidence %.2f  %s\n", BOLD(e), v->is_buyer ? GREEN(e) : "",
                  v->is_buyer ? "buyer" : "no buyer", PLAIN(e), floor(v->confidence * 100) / 100,
                  df_message_type_name(v->type));
    if (v->item[0] != '\0') {
        (void)fputs("  item   ", e->out);
        an_print_safely(e->out, v->item, strlen(v->item));
        (void)fputc('\n', e->out);
    }
    if (v->value_cents != DF_VALUE_NONE)
        (void)fprintf(e->out, "  offer  %lld.%02lld\n", (long long)(v->value_cents / 100),
                      (long long)(v->value_cents % 100));
    (void)fprintf(
        e->out, "  %s\n",
        df_intent_should_capture(v, &e->rule)
            ? "would become a sale"
            : (v->is_buyer ? "no sale: below the threshold, or not a type to capture" : "no sale"));
}

void an_explain_print(const struct an_explain *e, const char *message, size_t message_len)
{
    const struct df_chat_line line = {.platform = e->platform,
                                      .username = e->username,
                                      .message = message,
                                      .platform_len = strlen(e->platform),
                                      .username_len = strlen(e->username),
                                      .message_len = message_len};
    struct df_intent_reason reasons[REASONS_MAX];
    struct df_verdict verdict;

    df_intent_classify(e->model, &line, &verdict);
    size_t count = df_intent_explain(e->model, &line, reasons, REASONS_MAX);
    print_verdict(e, &verdict);
    if (count > 0)
        (void)fprintf(e->out, "  %swhy, strongest first, in steps of log-odds:%s\n", DIM(e),
                      PLAIN(e));
    for (size_t i = 0; i < count; i++)
        print_bar(e, &reasons[i]);
}

/* --- line after line ------------------------------------------------------------------------- */

struct prompt {
    char username[128], platform[64];
};

static void copy_argument(char *out, size_t out_size, const char *line, const char *command)
{
    (void)snprintf(out, out_size, "%s", line + strlen(command));
}

/* True when the line was a command; *is_over for :quit. */
static bool obey(struct an_explain *e, struct prompt *p, const char *line, bool *is_over)
{
    if (strcmp(line, ":quit") == 0 || strcmp(line, ":q") == 0) {
        *is_over = true;
    } else if (strncmp(line, ":user ", 6) == 0) {
        copy_argument(p->username, sizeof p->username, line, ":user ");
        e->username = p->username;
    } else if (strncmp(line, ":platform ", 10) == 0) {
        copy_argument(p->platform, sizeof p->platform, line, ":platform ");
        e->platform = p->platform;
    } else if (line[0] == ':' && (strcmp(line, ":help") == 0 || strcmp(line, ":h") == 0)) {
        (void)fputs("  a line of chat, or :user NAME  :platform NAME  :quit\n", e->out);
    } else {
        return false;
    }
    return true;
}

static void ask(const struct an_explain *e)
{
    (void)fprintf(e->out, "%s%s on %s>%s ", DIM(e), e->username, e->platform, PLAIN(e));
    (void)fflush(e->out);
}

enum df_code an_explain_lines(struct an_explain *e, FILE *in, bool is_prompt, struct df_error *err)
{
    struct prompt prompt;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len = 0;
    bool is_over = false;

    if (is_prompt)
        (void)fputs("Type a line of chat; :help for more, :quit or Ctrl-D to end.\n", e->out);
    while (!is_over) {
        if (is_prompt)
            ask(e);
        len = getline(&line, &cap, in);
        if (len < 0)
            break;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            line[--len] = '\0';
        if (len == 0 || (is_prompt && obey(e, &prompt, line, &is_over)))
            continue;
        if (!is_prompt) { /* the terminal shows what was typed; a pipe does not */
            an_print_safely(e->out, line, (size_t)len);
            (void)fputc('\n', e->out);
        }
        an_explain_print(e, line, (size_t)len);
        (void)fputc('\n', e->out);
    }
    if (is_prompt && !is_over)
        (void)fputc('\n', e->out);
    free(line);
    if (ferror(in))
        return df_error_set(err, DF_EUNAVAILABLE, "cannot read standard input: %s",
                            strerror(errno));
    if (fflush(e->out) != 0)
        return df_error_set(err, DF_EUNAVAILABLE, "cannot write: %s", strerror(errno));
    return DF_OK;
}
