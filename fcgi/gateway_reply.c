/* fcgi/gateway_reply.c - finds the verdict in a model's answer, wherever the server put it. The
 * payload decides, never finish_reason: servers disagree about that one. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "fcgi/gateway_format.h"
#include "fcgi/gateway_verdict.h"
#include "shared/json.h"

/* Objects tried in one text: each try may scan to its end, so hostile text must not buy many. */
#define CANDIDATES_MAX 16

static enum df_code no_call(struct df_error *err)
{
    return df_error_set(err, DF_EUPSTREAM, "No tool call in AI response");
}

static enum df_code unusable(struct df_error *err, const char *why)
{
    return df_error_set(err, DF_EUPSTREAM, "Unusable AI answer: %s", why);
}

/* Length of the balanced object that starts at text[0] == '{', or 0. */
static size_t object_len(const char *text, size_t len)
{
    size_t depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{') {
            depth++;
        } else if (c == '}' && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static bool contains(const char *text, size_t len, const char *word)
{
    return memmem(text, len, word, strlen(word)) != NULL;
}

/* Skips what a model thought aloud; drafts in there are no answer. False: it never got further. */
static bool skip_thinking(const char **text, size_t *len)
{
    static const char *const ends[] = {"</think>", "</thinking>"};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t end_len = strlen(ends[i]);
        const char *end = NULL;
        while ((end = memmem(*text, *len, ends[i], end_len)) != NULL) {
            *len -= (size_t)(end - *text) + end_len;
            *text = end + end_len;
        }
    }
    return !contains(*text, *len, "<think>") && !contains(*text, *len, "<thinking>");
}

/* What is looked for: `take` copies what it wants out of a value (borrowed) and says whether this
 * was it. Prose must hold the field that matters; the arguments of a call may be sparse. */
struct sought {
    bool (*take)(const struct sought *sought, const json_t *value, bool from_prose);
    const char *call_name;
    void *out;
    const struct mrs_numbering *numbering; /* of a batch */
    size_t count;
};

static bool take_verdict(const struct sought *sought, const json_t *value, bool from_prose)
{
    bool is_it = from_prose ? json_object_get(value, "is_buyer") != NULL
                            : mrs_verdict_is_known(value);
    if (is_it)
        mrs_verdict_read(sought->out, value);
    return is_it;
}

/* The first object in the text that is sought: plain, fenced, wrapped in another object, or amid
 * prose. */
static bool take_from_text(const struct sought *sought, const char *text, size_t len,
                           bool from_prose)
{
    bool found = false;

    if (from_prose && !skip_thinking(&text, &len))
        return false;
    for (int tries = 0; !found && tries < CANDIDATES_MAX && len > 0; tries++) {
        const char *start = memchr(text, '{', len);
        if (start == NULL)
            break;
        len -= (size_t)(start - text);
        text = start;
        json_t *value = NULL;
        size_t size = object_len(text, len);
        if (size > 0 && df_json_parse(&value, text, size, MRS_REPLY_MAX_BYTES, NULL) == DF_OK)
            found = sought->take(sought, value, from_prose);
        json_decref(value);
        text++; /* look inside too: {"result":{"is_buyer":...}} */
        len--;
    }
    return found;
}

/* Arguments of a call: one JSON value, or an object in a code fence; never null, a list, a string. */
static bool take_from_arguments(const struct sought *sought, const char *text, size_t len)
{
    json_t *value = NULL;
    bool is_json = df_json_parse(&value, text, len, MRS_REPLY_MAX_BYTES, NULL) == DF_OK;
    bool found = is_json && sought->take(sought, value, false);

    json_decref(value);
    return is_json ? found : take_from_text(sought, text, len, false);
}

static enum df_code read_function(const struct sought *sought, const json_t *function,
                                  struct df_error *err)
{
    const json_t *arguments = json_object_get(function, "arguments");

    if (json_is_object(arguments)) {
        if (!sought->take(sought, arguments, false))
            return unusable(err, "the call's arguments are no verdict");
        return DF_OK;
    }
    if (!json_is_string(arguments) || json_string_length(arguments) == 0)
        return unusable(err, "a call without arguments");
    if (!take_from_arguments(sought, json_string_value(arguments), json_string_length(arguments)))
        return unusable(err, "the call's arguments are no verdict");
    return DF_OK;
}

/* The first call with our name, else the first call. */
static const json_t *choose_call(const json_t *calls, const char *our_name)
{
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i);
        const char *name = json_string_value(json_object_get(json_object_get(call, "function"), "name"));
        if (name != NULL && strcmp(name, our_name) == 0)
            return call;
    }
    return json_array_get(calls, 0);
}

/* content as a list of parts: their texts, one after the other. */
static bool take_from_parts(const struct sought *sought, const json_t *parts)
{
    struct df_buf text;
    bool found = false;

    df_buf_init(&text, MRS_REPLY_MAX_BYTES);
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_object_get(json_array_get(parts, i), "text");
        if (json_is_string(part))
            df_buf_append(&text, json_string_value(part), json_string_length(part));
    }
    if (!text.failed && text.len > 0)
        found = take_from_text(sought, text.data, text.len, true);
    df_buf_release(&text);
    return found;
}

static bool take_from_content(const struct sought *sought, const json_t *content)
{
    if (json_is_string(content))
        return take_from_text(sought, json_string_value(content), json_string_length(content), true);
    if (json_is_array(content))
        return take_from_parts(sought, content);
    return json_is_object(content) && sought->take(sought, content, true);
}

/* What any answer has, whatever is sought in it. */
struct envelope {
    int64_t prompt_tokens, completion_tokens;
    bool has_message, has_call;
};

/* A refusal, prose and an empty answer all end as "no call": that is the text clients know. */
static enum df_code read_message(struct envelope *out, const struct sought *sought,
                                 const json_t *message, struct df_error *err)
{
    const json_t *calls = json_object_get(message, "tool_calls");
    const json_t *legacy = json_object_get(message, "function_call");

    out->has_message = json_is_object(message);
    if (json_array_size(calls) > 0) {
        const json_t *call = choose_call(calls, sought->call_name);
        out->has_call = true;
        return read_function(sought, json_object_get(call, "function"), err);
    }
    if (json_is_object(legacy)) {
        out->has_call = true;
        return read_function(sought, legacy, err);
    }
    if (take_from_content(sought, json_object_get(message, "content")))
        return DF_OK;
    return no_call(err);
}

static int64_t token_count(const json_t *usage, const char *field)
{
    json_int_t count = json_integer_value(json_object_get(usage, field));
    return count > 0 && count < INT32_MAX ? (int64_t)count : 0;
}

/* Some servers stream although told not to; half a stream is not worth putting together. */
static bool is_event_stream(const char *body, size_t len)
{
    return (len >= 5 && strncasecmp(body, "data:", 5) == 0) ||
           (len >= 6 && strncasecmp(body, "event:", 6) == 0) || (len >= 1 && body[0] == ':');
}

static enum df_code read_envelope(const char *body, size_t body_len, const struct sought *sought,
                                  struct envelope *out, struct df_error *err)
{
    json_t *root = NULL;
    enum df_code rc;

    memset(out, 0, sizeof *out);
    if (body_len == 0)
        return unusable(err, "empty body");
    if (is_event_stream(body, body_len))
        return unusable(err, "an event stream, though none was asked for");
    rc = df_json_parse(&root, body, body_len, MRS_REPLY_MAX_BYTES, NULL);
    if (rc == DF_ENOMEM)
        return df_error_set(err, rc, "model reply: out of memory");
    if (rc != DF_OK)
        return unusable(err, "not JSON");

    const json_t *answer = root;
    if (json_is_array(root)) /* Gemini's OpenAI layer wraps errors so */
        answer = json_array_get(root, 0);
    if (!json_is_object(answer) && !json_is_array(root)) {
        rc = unusable(err, "not a JSON object");
        goto out;
    }
    const json_t *usage = json_object_get(answer, "usage");
    out->prompt_tokens = token_count(usage, "prompt_tokens");
    out->completion_tokens = token_count(usage, "completion_tokens");
    const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
    rc = read_message(out, sought, json_object_get(choice, "message"), err);
out:
    json_decref(root);
    return rc;
}

enum df_code mrs_gateway_format_reply(const char *body, size_t body_len,
                                      struct mrs_gateway_reply *out, struct df_error *err)
{
    const struct sought sought = {
        .take = take_verdict, .call_name = MRS_TOOL_NAME, .out = &out->verdict};
    struct envelope envelope;

    memset(out, 0, sizeof *out);
    out->verdict.value_cents = DF_VALUE_NONE;
    out->verdict.type = DF_GENERAL;
    enum df_code rc = read_envelope(body, body_len, &sought, &envelope, err);
    out->prompt_tokens = envelope.prompt_tokens;
    out->completion_tokens = envelope.completion_tokens;
    out->has_message = envelope.has_message;
    out->has_call = envelope.has_call;
    return rc;
}

/* --- batches ---------------------------------------------------------------------------------- */

/* Which line a number (or a string of digits) names; false: none. */
static bool line_of(const struct sought *sought, const json_t *number, size_t *line)
{
    json_int_t value = json_is_integer(number) ? json_integer_value(number) : -1;

    if (json_is_real(number) && json_real_value(number) >= 0 && json_real_value(number) < 1e6 &&
        json_real_value(number) == (double)(int)json_real_value(number))
        value = (int)json_real_value(number);
    if (json_is_string(number)) {
        const char *text = json_string_value(number);
        size_t len = json_string_length(number);
        value = len > 0 && len <= 6 && strspn(text, "0123456789") == len ? strtol(text, NULL, 10)
                                                                          : -1;
    }
    value -= sought->numbering->first;
    if (value < 0 || value % sought->numbering->step != 0)
        return false;
    value /= sought->numbering->step;
    *line = (size_t)value;
    return *line < sought->count;
}

static void forget_lines(struct mrs_batch_reply *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < MRS_BATCH_LINES_MAX; i++) {
        out->verdicts[i].value_cents = DF_VALUE_NONE;
        out->verdicts[i].type = DF_GENERAL;
    }
}

/* Both lists; a call's arguments may lack one of them, prose must have the buyers. */
static bool take_batch(const struct sought *sought, const json_t *value, bool from_prose)
{
    struct mrs_batch_reply *out = sought->out;
    uint8_t named[MRS_BATCH_LINES_MAX] = {0};
    const json_t *buyers = json_object_get(value, "buyers");
    const json_t *others = json_object_get(value, "others");
    size_t line = 0;

    if (!json_is_array(buyers) && (from_prose || !json_is_array(others)))
        return false;
    forget_lines(out); /* of an object that was looked at before and was not it */
    for (size_t i = 0; i < json_array_size(buyers); i++) {
        const json_t *entry = json_array_get(buyers, i);
        if (!line_of(sought, json_object_get(entry, "i"), &line)) {
            out->stray_count++;
            continue;
        }
        named[line] = named[line] < 2 ? (uint8_t)(named[line] + 1) : 2;
        (void)mrs_verdict_read_listed(&out->verdicts[line], entry); /* it has an i: an object */
    }
    for (size_t i = 0; i < json_array_size(others); i++) {
        const json_t *entry = json_array_get(others, i);
        if (!line_of(sought, json_is_object(entry) ? json_object_get(entry, "i") : entry, &line)) {
            out->stray_count++;
            continue;
        }
        named[line] = named[line] < 2 ? (uint8_t)(named[line] + 1) : 2;
    }
    for (line = 0; line < sought->count; line++) {
        out->is_clear[line] = named[line] == 1;
        out->clear_count += named[line] == 1;
    }
    return out->clear_count > 0;
}

enum df_code mrs_gateway_format_batch_reply(const char *body, size_t body_len,
                                            const struct mrs_numbering *numbering, size_t count,
                                            struct mrs_batch_reply *out, struct df_error *err)
{
    const struct sought sought = {.take = take_batch,
                                  .call_name = MRS_BATCH_TOOL_NAME,
                                  .out = out,
                                  .numbering = numbering,
                                  .count = count};
    struct envelope envelope;

    forget_lines(out);
    enum df_code rc = read_envelope(body, body_len, &sought, &envelope, err);
    out->prompt_tokens = envelope.prompt_tokens;
    out->completion_tokens = envelope.completion_tokens;
    out->has_message = envelope.has_message;
    out->has_call = envelope.has_call;
    return rc;
}
