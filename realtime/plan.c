/* realtime/plan.c - interests sorted by table and session, found by bisection: thousands of them
 * may be published for each join. */
#include "realtime/plan.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "realtime/join.h"

void rt_plan_free(struct rt_plan *plan)
{
    if (plan == NULL)
        return;
    for (size_t i = 0; i < plan->filter_count; i++)
        free(plan->filter[i]);
    for (size_t i = 0; i < plan->claims_count; i++)
        free(plan->claims[i]);
    free(plan->filter);
    free(plan->claims);
    free(plan->interest);
    free(plan);
}

static int compare_place(const struct rt_interest *a, const char *schema, const char *table)
{
    int order = strcmp(a->schema, schema);
    return order != 0 ? order : strcmp(a->table, table);
}

static int compare(const void *left, const void *right)
{
    const struct rt_interest *a = *(const struct rt_interest *const *)left;
    const struct rt_interest *b = *(const struct rt_interest *const *)right;
    int order = compare_place(a, b->schema, b->table);
    return order != 0 ? order : strcmp(a->session, b->session);
}

static void carry_marks(bool *out, char *const *now, size_t count, const bool *was_marked,
                        char *const *before, size_t count_before)
{
    for (size_t i = 0; i < count && i < count_before; i++)
        out[i] =
            was_marked[i] && now[i] != NULL && before[i] != NULL && strcmp(now[i], before[i]) == 0;
}

struct rt_index *rt_index_new(struct rt_plan *plan, const struct rt_index *before)
{
    struct rt_index *index = calloc(1, sizeof *index);

    if (index == NULL) {
        rt_plan_free(plan);
        return NULL;
    }
    index->plan = plan;
    /* One more of each, because calloc may return NULL for nothing. */
    index->sorted = calloc(plan->interest_count + 1, sizeof *index->sorted);
    index->role = calloc(plan->claims_count + 1, sizeof *index->role);
    index->is_broken_filter = calloc(plan->filter_count + 1, sizeof(bool));
    index->is_broken_claims = calloc(plan->claims_count + 1, sizeof(bool));
    index->is_warned = calloc(plan->claims_count + 1, sizeof(bool));
    if (index->sorted == NULL || index->role == NULL || index->is_broken_filter == NULL ||
        index->is_broken_claims == NULL || index->is_warned == NULL) {
        rt_index_free(index);
        return NULL;
    }
    for (size_t i = 0; i < plan->interest_count; i++)
        index->sorted[i] = &plan->interest[i];
    if (plan->interest_count > 0)
        qsort(index->sorted, plan->interest_count, sizeof(struct rt_interest *), compare);
    if (before != NULL) {
        carry_marks(index->is_broken_filter, plan->filter, plan->filter_count,
                    before->is_broken_filter, before->plan->filter, before->plan->filter_count);
        carry_marks(index->is_broken_claims, plan->claims, plan->claims_count,
                    before->is_broken_claims, before->plan->claims, before->plan->claims_count);
        carry_marks(index->is_warned, plan->claims, plan->claims_count, before->is_warned,
                    before->plan->claims, before->plan->claims_count);
    }
    return index;
}

void rt_index_free(struct rt_index *index)
{
    if (index == NULL)
        return;
    rt_plan_free(index->plan);
    free(index->sorted);
    free(index->role);
    free(index->is_broken_filter);
    free(index->is_broken_claims);
    free(index->is_warned);
    free(index);
}

static bool add_match(struct rt_matches *matches, const struct rt_interest *interest)
{
    if (matches->count == matches->cap) {
        size_t cap = matches->cap == 0 ? 16 : 2 * matches->cap;
        const struct rt_interest **at = realloc(matches->at, cap * sizeof *at);
        if (at == NULL)
            return false;
        matches->at = at;
        matches->cap = cap;
    }
    matches->at[matches->count++] = interest;
    return true;
}

/* The first interest that is not before this place and session. */
static size_t lower_bound(const struct rt_index *index, const char *schema, const char *table,
                          const char *session)
{
    size_t low = 0, high = index->plan->interest_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct rt_interest *at = index->sorted[middle];
        int order = compare_place(at, schema, table);
        if (order == 0)
            order = strcmp(at->session, session);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool match_place(const struct rt_index *index, const char *schema, const char *table,
                        unsigned event, const char *session, bool any_session,
                        struct rt_matches *out)
{
    size_t i = lower_bound(index, schema, table, session);

    for (; i < index->plan->interest_count; i++) {
        const struct rt_interest *at = index->sorted[i];
        if (compare_place(at, schema, table) != 0)
            break;
        if (!any_session && strcmp(at->session, session) != 0)
            break;
        if ((at->events & event) != 0 && !index->is_broken_filter[at->filter_id] &&
            !index->is_broken_claims[at->claims_id] && !add_match(out, at))
            return false;
    }
    return true;
}

bool rt_index_match(const struct rt_index *index, const char *schema, const char *table,
                    unsigned event, const char *session, struct rt_matches *out)
{
    const char *const places[][2] = {{schema, table}, {schema, "*"}, {"*", table}, {"*", "*"}};

    if (index == NULL)
        return true;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        /* Without a session of its own a change may concern any: its filter will tell. */
        if (!match_place(index, places[i][0], places[i][1], event, "", session[0] == '\0', out))
            return false;
        if (session[0] != '\0' &&
            !match_place(index, places[i][0], places[i][1], event, session, false, out))
            return false;
    }
    return true;
}

void rt_matches_release(struct rt_matches *matches)
{
    free(matches->at);
    *matches = (struct rt_matches){0};
}

const char *rt_index_role(struct rt_index *index, uint32_t claims_id)
{
    char *role = index->role[claims_id];

    if (role[0] == '\0' && index->plan->claims[claims_id] != NULL) {
        json_t *claims = json_loads(index->plan->claims[claims_id], 0, NULL);
        const char *name = json_string_value(json_object_get(claims, "role"));
        size_t len = name == NULL ? 0 : strlen(name);
        if (len < sizeof index->role[0]) /* no role's name is longer */
            memcpy(role, name == NULL ? "" : name, len + 1);
        json_decref(claims);
    }
    return role;
}

/* --- forms of filters ----------------------------------------------------------------------------
 */

/* Steps over the text if it stands there. */
static bool skip(const char **at, const char *text)
{
    size_t len = strlen(text);
    if (strncmp(*at, text, len) != 0)
        return false;
    *at += len;
    return true;
}

/* Steps over a JSON string literal and tells where it is. */
static bool skip_string(const char **at, const char **out, size_t *out_len)
{
    const char *end = *at;

    if (*end++ != '"')
        return false;
    while (*end != '"' && *end != '\0')
        end += *end == '\\' && end[1] != '\0' ? 2 : 1;
    if (*end++ != '"')
        return false;
    *out = *at;
    *out_len = (size_t)(end - *at);
    *at = end;
    return true;
}

struct rt_filter_form rt_filter_form(const char *filter)
{
    static const char session[] = "\"stream_session_id\"";
    const size_t uuid_literal_len = 38;
    struct rt_filter_form form = {.form = RT_FORM_GENERAL};
    const char *at = filter;

    if (strcmp(filter, "[]") == 0) {
        form.form = RT_FORM_ALL;
        return form;
    }
    if (skip(&at, "[{\"column\":") && skip_string(&at, &form.column, &form.column_len) &&
        skip(&at, ",\"op\":\"eq\",\"not\":false,\"value\":") &&
        skip_string(&at, &form.value, &form.value_len) && strcmp(at, "}]") == 0) {
        bool is_session = form.column_len == sizeof session - 1 &&
                          memcmp(form.column, session, form.column_len) == 0 &&
                          form.value_len == uuid_literal_len;
        form.form = is_session ? RT_FORM_SESSION : RT_FORM_EQUAL;
    }
    return form;
}

unsigned rt_event_of(const char *op)
{
    if (strcmp(op, "INSERT") == 0)
        return RT_INSERT;
    if (strcmp(op, "UPDATE") == 0)
        return RT_UPDATE;
    return strcmp(op, "DELETE") == 0 ? RT_DELETE : 0;
}
