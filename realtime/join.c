/* realtime/join.c - reads a join leniently: what is missing or odd gets its default, what is wrong
 * with a binding is remembered for the system message that follows the reply. */
#include "realtime/join.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FILTER_MAX_BYTES = 64 * 1024, SELECT_MAX_BYTES = 16 * 1024, X_AFTER_MAX_BYTES = 256 };

/* Booleans come as true or as text of any case. */
static bool read_bool(const json_t *value)
{
    return json_is_true(value) ||
           (json_is_string(value) && strcasecmp(json_string_value(value), "true") == 0);
}

static int64_t read_ms(const json_t *value, int64_t fallback)
{
    return json_is_number(value) && json_number_value(value) >= 0 && json_number_value(value) < 1e15
               ? (int64_t)json_number_value(value)
               : fallback;
}

static char *copy_text(const char *text)
{
    return strdup(text); /* NULL is DF_ENOMEM at the caller */
}

static bool read_name(char *out, size_t out_size, const json_t *value)
{
    if (!json_is_string(value) || json_string_length(value) == 0)
        return false;
    /* A name that is cut is no table's name: Postgres's end at 63 bytes, too. */
    (void)snprintf(out, out_size, "%s", json_string_value(value));
    return true;
}

static unsigned read_events(const json_t *value)
{
    const char *text = json_string_value(value);

    if (text != NULL && strcasecmp(text, "INSERT") == 0)
        return RT_INSERT;
    if (text != NULL && strcasecmp(text, "UPDATE") == 0)
        return RT_UPDATE;
    if (text != NULL && strcasecmp(text, "DELETE") == 0)
        return RT_DELETE;
    return RT_ALL;
}

static void refuse(struct rt_binding_request *binding, const char *why)
{
    if (binding->error[0] == '\0')
        (void)snprintf(binding->error, sizeof binding->error, "%s", why);
}

/* --- filter and select ------------------------------------------------------------------------ */

static enum df_code read_filter(struct rt_binding_request *out, const json_t *value,
                                bool has_both_names)
{
    struct df_buf canonical;
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    char error[sizeof out->error];

    df_buf_init(&canonical, FILTER_MAX_BYTES);
    if (value != NULL && !json_is_null(value) && !json_is_string(value))
        refuse(out, "Error parsing `filter` params: expected a text");
    if (!rt_filter_parse(&canonical, text, strlen(text), out->session, error, sizeof error)) {
        df_buf_reset(&canonical);
        refuse(out, error);
    }
    out->filter = copy_text(canonical.data == NULL || canonical.len == 0 ? "[]" : canonical.data);
    df_buf_release(&canonical);
    if (out->filter != NULL && strcmp(out->filter, "[]") != 0 && !has_both_names)
        refuse(out, "Error parsing `filter` params: a filter needs both `schema` and `table`");
    return out->filter == NULL ? DF_ENOMEM : DF_OK;
}

static enum df_code read_select(struct rt_binding_request *out, const json_t *value)
{
    json_t *names = json_array();
    const json_t *item;
    size_t i;

    if (names == NULL)
        return DF_ENOMEM;
    if (value != NULL && !json_is_null(value) && !json_is_array(value))
        refuse(out, "Error parsing `select` params: expected a list of column name strings, "
                    "e.g. [\"id\", \"name\"]");
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item))
            refuse(out, "Error parsing `select` params: expected a list of column name strings, "
                        "e.g. [\"id\", \"name\"]");
        else
            (void)json_array_append(names, (json_t *)item);
    }
    if (json_array_size(names) > 0 &&
        (strcmp(out->schema, "*") == 0 || strcmp(out->table, "*") == 0))
        refuse(out, "Column selection is not supported for wildcard subscriptions. Please provide "
                    "both `schema` and `table`.");
    out->select = json_dumps(names, JSON_COMPACT);
    json_decref(names);
    if (out->select != NULL && strlen(out->select) > SELECT_MAX_BYTES)
        refuse(out, "Error parsing `select` params: the list is too long");
    return out->select == NULL ? DF_ENOMEM : DF_OK;
}

/* The position is an id or a timestamp, a text or a number. */
static enum df_code read_position(struct rt_binding_request *out, const json_t *value)
{
    if (value == NULL || json_is_null(value) || json_is_boolean(value))
        return DF_OK;
    if (json_is_string(value))
        out->x_after = copy_text(json_string_value(value));
    else
        out->x_after = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (out->x_after == NULL)
        return DF_ENOMEM;
    if (out->x_after[0] == '\0' || strlen(out->x_after) > X_AFTER_MAX_BYTES) {
        free(out->x_after);
        out->x_after = NULL;
    }
    return DF_OK;
}

/* --- bindings -------------------------------------------------------------------------------- */

static enum df_code read_binding(struct rt_binding_request *out, const json_t *given)
{
    memset(out, 0, sizeof *out);
    out->given = given;
    out->events = read_events(json_object_get(given, "event"));
    bool has_schema = read_name(out->schema, sizeof out->schema, json_object_get(given, "schema"));
    bool has_table = read_name(out->table, sizeof out->table, json_object_get(given, "table"));
    out->has_target = has_schema || has_table;
    if (!has_schema)
        memcpy(out->schema, "public", sizeof "public");
    if (!has_table)
        memcpy(out->table, "*", sizeof "*");
    if (!out->has_target)
        refuse(out, "No subscription params provided. Please provide at least a `schema` or "
                    "`table` to subscribe to");
    enum df_code rc =
        read_filter(out, json_object_get(given, "filter"), has_schema && has_table);
    if (rc == DF_OK)
        rc = read_select(out, json_object_get(given, "select"));
    if (rc == DF_OK)
        rc = read_position(out, json_object_get(given, "x_after"));
    return rc;
}

static enum df_code read_bindings(struct rt_join *out, const json_t *list, struct df_error *err)
{
    size_t i;
    const json_t *item;

    if (!json_is_array(list) || json_array_size(list) == 0)
        return DF_OK;
    if (json_array_size(list) > RT_BINDINGS_MAX)
        return df_error_set(err, DF_ETOOBIG, "more than %d bindings in one channel",
                            RT_BINDINGS_MAX);
    out->binding = calloc(json_array_size(list), sizeof *out->binding);
    if (out->binding == NULL)
        return df_error_set(err, DF_ENOMEM, "join: out of memory");
    json_array_foreach(list, i, item)
    {
        if (!json_is_object(item))
            continue; /* Supabase drops null items, too */
        if (read_binding(&out->binding[out->binding_count++], item) != DF_OK)
            return df_error_set(err, DF_ENOMEM, "join: out of memory");
    }
    return DF_OK;
}

/* --- the whole -------------------------------------------------------------------------------- */

static void read_broadcast(struct rt_join *out, const json_t *given)
{
    const json_t *replay = json_object_get(given, "replay");

    out->broadcast_ack = read_bool(json_object_get(given, "ack"));
    out->broadcast_self = read_bool(json_object_get(given, "self"));
    out->replay = json_is_object(replay);
    out->replay_since_ms = read_ms(json_object_get(replay, "since"), 0);
    out->replay_limit = read_ms(json_object_get(replay, "limit"), 25);
}

enum df_code rt_join_parse(struct rt_join *out, const json_t *payload, struct df_error *err)
{
    const json_t *config = json_object_get(payload, "config");
    const json_t *presence = json_object_get(config, "presence");
    const json_t *options = json_object_get(config, "postgres_changes_options");
    const json_t *token = json_object_get(payload, "user_token"); /* the old name wins */

    memset(out, 0, sizeof *out);
    read_broadcast(out, json_object_get(config, "broadcast"));
    out->is_private = read_bool(json_object_get(config, "private"));
    out->presence_enabled = read_bool(json_object_get(presence, "enabled"));
    const json_t *key = json_object_get(presence, "key");
    if (json_is_string(key) && json_string_length(key) < sizeof out->presence_key)
        memcpy(out->presence_key, json_string_value(key), json_string_length(key) + 1);
    out->wait = read_bool(json_object_get(options, "wait"));
    out->wait_timeout_ms = read_ms(json_object_get(options, "timeout"), -1);
    if (!json_is_string(token))
        token = json_object_get(payload, "access_token");
    out->access_token = json_string_value(token);
    if (out->access_token != NULL && strncmp(out->access_token, "sb_", 3) == 0)
        out->access_token = NULL; /* a key, not a person */
    enum df_code rc = read_bindings(out, json_object_get(config, "postgres_changes"), err);
    if (rc != DF_OK)
        rt_join_release(out);
    return rc;
}

void rt_join_release(struct rt_join *join)
{
    for (size_t i = 0; i < join->binding_count; i++) {
        free(join->binding[i].filter);
        free(join->binding[i].select);
        free(join->binding[i].x_after);
    }
    free(join->binding);
    memset(join, 0, sizeof *join);
}
