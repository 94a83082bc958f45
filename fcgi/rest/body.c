/* fcgi/rest/body.c - looks at a JSON body without keeping its values. */
#include "fcgi/rest/body.h"

#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "shared/json.h"

static bool is_json(const char *content_type)
{
    size_t len = content_type == NULL ? 0 : strcspn(content_type, "; ");
    static const char *const types[] = {"application/json", "application/vnd.pgrst.object+json",
                                        "application/vnd.pgrst.array+json"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strlen(types[i]) == len && strncasecmp(types[i], content_type, len) == 0)
            return true;
    }
    return len == 0 || (len == 3 && memcmp(content_type, "*/*", 3) == 0);
}

static bool take_keys(struct rst_body *out, json_t *object, struct rst_arena *arena,
                      struct rst_error *err)
{
    struct rst_name **tail = &out->keys;
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        *tail = rst_alloc(arena, sizeof **tail);
        if (*tail == NULL || ((*tail)->name = rst_copy(arena, key, strlen(key))) == NULL)
            return rst_no_memory(err);
        tail = &(*tail)->next;
    }
    return true;
}

static bool has_keys_of(const json_t *object, const json_t *first)
{
    const char *key;
    json_t *value;

    if (json_object_size(object) != json_object_size(first))
        return false;
    json_object_foreach((json_t *)first, key, value)
    {
        if (json_object_get(object, key) == NULL)
            return false;
    }
    return true;
}

static bool look_at(struct rst_body *out, json_t *root, bool any_keys, struct rst_arena *arena,
                    struct rst_error *err)
{
    if (json_is_object(root)) {
        out->row_count = 1;
        return take_keys(out, root, arena, err);
    }
    if (!json_is_array(root))
        return rst_fail(err, 400, "PGRST102", "Empty or invalid json");
    out->is_array = true;
    out->row_count = json_array_size(root);
    for (size_t i = 0; i < out->row_count; i++) {
        json_t *row = json_array_get(root, i), *first = json_array_get(root, 0);
        if (!json_is_object(row) || (!any_keys && i > 0 && !has_keys_of(row, first)))
            return rst_fail(err, 400, "PGRST102", "All object keys must match");
    }
    return out->row_count == 0 || take_keys(out, json_array_get(root, 0), arena, err);
}

bool rst_body_read(struct rst_body *out, const char *text, size_t len, const char *content_type,
                   bool any_keys, struct rst_arena *arena, struct rst_error *err)
{
    json_t *root = NULL;

    *out = (struct rst_body){.text = text};
    if (!is_json(content_type))
        return rst_fail(err, 400, "PGRST102", "Content-Type not acceptable: %s", content_type);
    /* The text goes to Postgres as it is, so what our reader would mend is no JSON here. */
    if (memchr(text, '\0', len) != NULL || df_json_parse(&root, text, len, len + 1, NULL) != DF_OK)
        return rst_fail(err, 400, "PGRST102", "Empty or invalid json");
    bool ok = look_at(out, root, any_keys, arena, err);
    json_decref(root);
    return ok;
}
