/* scraper/client_message.c - one JSON object, told apart by its action or type. */
#include "scraper/client_message.h"

#include <jansson.h>
#include <string.h>

#include "shared/json.h"

static const char *string_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name)); /* NULL unless it is a string */
}

enum scr_client_verb scr_client_message_parse(struct scr_client_message *out, const char *text,
                                              size_t text_len, struct df_error *err)
{
    *out = (struct scr_client_message){.verb = SCR_CLIENT_BAD, .token = ""};
    if (df_json_parse(&out->root, text, text_len, SCR_CLIENT_MESSAGE_MAX_BYTES, err) != DF_OK)
        return out->verb;
    if (!json_is_object(out->root)) {
        (void)df_error_set(err, DF_EINPUT, "a message must be a JSON object");
        return out->verb;
    }
    const char *verb = string_of(out->root, "action");
    if (verb == NULL)
        verb = string_of(out->root, "type");
    if (verb == NULL) {
        (void)df_error_set(err, DF_EINPUT, "a message needs an action");
    } else if (strcmp(verb, "auth") == 0) {
        const char *token = string_of(out->root, "token");
        out->token = token == NULL ? "" : token;
        out->verb = SCR_CLIENT_AUTH;
    } else if (strcmp(verb, "ping") == 0) {
        out->verb = SCR_CLIENT_PING;
    } else if (strcmp(verb, "monitor") == 0) {
        out->verb = SCR_CLIENT_ACTION;
    } else {
        (void)df_error_set(err, DF_EINPUT, "unknown action \"%.40s\"", verb);
    }
    return out->verb;
}

void scr_client_message_release(struct scr_client_message *message)
{
    /* jansson hands out its own memory as const; it is about to be freed */
    if (message->verb == SCR_CLIENT_AUTH && message->token[0] != '\0')
        explicit_bzero((char *)message->token, strlen(message->token));
    json_decref(message->root);
    *message = (struct scr_client_message){.token = ""};
}
