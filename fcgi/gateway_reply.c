/* fcgi/gateway_reply.c - finds the verdict in a model's answer, wherever the server put it. The
 * payload decides, never finish_reason: servers disagree about that one. */
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

/* Prose must hold the field that matters; the arguments of a call may be sparse. */
static bool is_acceptable(const json_t *value, bool from_prose)
{
    if (from_prose)
        return json_object_get(value, "is_buyer") != NULL;
    return mrs_verdict_is_known(value);
}

/* The first object in the text that is a verdict: plain, fenced, wrapped in another object, or
 * amid prose. */
static bool verdict_from_text(struct df_verdict *out, const char *text, size_t len, bool from_prose)
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
        if (size > 0 && df_json_parse(&value, text, size, MRS_REPLY_MAX_BYTES, NULL) == DF_OK &&
            is_acceptable(value, from_prose)) {
            mrs_verdict_read(out, value);
            found = true;
        }
        json_decref(value);
        text++; /* look inside too: {"result":{"is_buyer":...}} */
        len--;
    }
    return found;
}

/* Arguments of a call: one JSON value, or an object in a code fence; never null, a list, a string. */
static bool verdict_from_arguments(struct df_verdict *out, const char *text, size_t len)
{
    json_t *value = NULL;
    bool is_json = df_json_parse(&value, text, len, MRS_REPLY_MAX_BYTES, NULL) == DF_OK;
    bool found = false;

    if (is_json && is_acceptable(value, false)) {
        mrs_verdict_read(out, value);
        found = true;
    }
    json_decref(value);
    return is_json ? found : verdict_from_text(out, text, len, false);
}

static enum df_code read_function(struct df_verdict *out, const json_t *function,
                                  struct df_error *err)
{
    const json_t *arguments = json_object_get(function, "arguments");

    if (json_is_object(arguments)) {
        if (!mrs_verdict_is_known(arguments))
            return unusable(err, "the call's arguments are no verdict");
        mrs_verdict_read(out, arguments);
        return DF_OK;
    }
    if (!json_is_string(arguments) || json_string_length(arguments) == 0)
        return unusable(err, "a call without arguments");
    if (!verdict_from_arguments(out, json_string_value(arguments), json_string_length(arguments)))
        return unusable(err, "the call's arguments are no verdict");
    return DF_OK;
}

/* The first call with our name, else the first call. */
static const json_t *choose_call(const json_t *calls)
{
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i);
        const char *name = json_string_value(json_object_get(json_object_get(call, "function"), "name"));
        if (name != NULL && strcmp(name, MRS_TOOL_NAME) == 0)
            return call;
    }
    return json_array_get(calls, 0);
}

/* content as a list of parts: their texts, one after the other. */
static bool verdict_from_parts(struct df_verdict *out, const json_t *parts)
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
        found = verdict_from_text(out, text.data, text.len, true);
    df_buf_release(&text);
    return found;
}

static bool verdict_from_content(struct df_verdict *out, const json_t *content)
{
    if (json_is_string(content))
        return verdict_from_text(out, json_string_value(content), json_string_length(content), true);
    if (json_is_array(content))
        return verdict_from_parts(out, content);
    if (json_object_get(content, "is_buyer") == NULL)
        return false;
    mrs_verdict_read(out, content);
    return true;
}

/* A refusal, prose and an empty answer all end as "no call": that is the text clients know. */
static enum df_code read_message(struct mrs_gateway_reply *out, const json_t *message,
                                 struct df_error *err)
{
    const json_t *calls = json_object_get(message, "tool_calls");
    const json_t *legacy = json_object_get(message, "function_call");

    out->has_message = json_is_object(message);
    if (json_array_size(calls) > 0) {
        out->has_call = true;
        return read_function(&out->verdict, json_object_get(choose_call(calls), "function"), err);
    }
    if (json_is_object(legacy)) {
        out->has_call = true;
        return read_function(&out->verdict, legacy, err);
    }
    if (verdict_from_content(&out->verdict, json_object_get(message, "content")))
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

enum df_code mrs_gateway_format_reply(const char *body, size_t body_len,
                                      struct mrs_gateway_reply *out, struct df_error *err)
{
    json_t *root = NULL;
    enum df_code rc;

    memset(out, 0, sizeof *out);
    out->verdict.value_cents = DF_VALUE_NONE;
    out->verdict.type = DF_GENERAL;
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
    rc = read_message(out, json_object_get(choice, "message"), err);
out:
    json_decref(root);
    return rc;
}
