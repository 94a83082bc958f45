/* fcgi/rest/query_filter.c - conditions such as eq.5, not.in.(1,2) and trees of them. */
#include <string.h>
#include <strings.h>

#include "fcgi/rest/query_parts.h"

static const struct {
    const char *name;
    enum rst_op op;
    bool may_be_any; /* takes (any) and (all) */
} operators[] = {
    {"eq", RST_EQ, true},
    {"neq", RST_NEQ, false},
    {"lt", RST_LT, true},
    {"lte", RST_LTE, true},
    {"gt", RST_GT, true},
    {"gte", RST_GTE, true},
    {"like", RST_LIKE, true},
    {"ilike", RST_ILIKE, true},
    {"match", RST_MATCH, true},
    {"imatch", RST_IMATCH, true},
    {"in", RST_IN, false},
    {"is", RST_IS, false},
    {"isdistinct", RST_ISDISTINCT, false},
    {"cs", RST_CS, false},
    {"cd", RST_CD, false},
    {"ov", RST_OV, false},
    {"sl", RST_SL, false},
    {"sr", RST_SR, false},
    {"nxr", RST_NXR, false},
    {"nxl", RST_NXL, false},
    {"adj", RST_ADJ, false},
};

static bool take(struct rst_reader *reader, const char *text)
{
    size_t len = strlen(text);
    if (strncmp(reader->at, text, len) != 0)
        return false;
    reader->at += len;
    return true;
}

/* not.eq(any). - everything in front of the value. */
static bool read_operator(struct rst_reader *reader, struct rst_filter *out)
{
    static const char expected[] = "\"not\" or operator (eq, gt, ...)";

    if (take(reader, "not.")) /* before it the whole condition may be negated already */
        out->is_negated = true;
    size_t len = strspn(reader->at, "abcdefghijklmnopqrstuvwxyz");
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (strlen(operators[i].name) != len || strncmp(operators[i].name, reader->at, len) != 0)
            continue;
        reader->at += len;
        out->op = operators[i].op;
        out->any = RST_ONE;
        if (operators[i].may_be_any && take(reader, "(any)"))
            out->any = RST_ANY;
        else if (operators[i].may_be_any && take(reader, "(all)"))
            out->any = RST_ALL;
        return take(reader, ".") || rst_unexpected(reader, "delimiter (.)");
    }
    return rst_unexpected(reader, expected);
}

/* --- values ---------------------------------------------------------------------------------- */

/* A quoted text that ends where a value may end; NULL and nothing read when it is none. */
static char *try_quoted(struct rst_reader *reader)
{
    struct rst_reader ahead = *reader;
    struct rst_error ignored;

    ahead.err = &ignored;
    char *text = *ahead.at == '"' ? rst_read_quoted(&ahead) : NULL;
    if (text == NULL || (*ahead.at != ',' && *ahead.at != ')' && *ahead.at != '\0'))
        return NULL;
    reader->at = ahead.at;
    return text;
}

static char *take_until(struct rst_reader *reader, const char *stops)
{
    size_t len = strcspn(reader->at, stops);
    char *text = rst_copy(reader->arena, reader->at, len);
    if (text == NULL)
        (void)rst_no_memory(reader->err);
    reader->at += len;
    return text;
}

static size_t put_element(char *out, const char *text)
{
    size_t used = 0;
    out[used++] = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            out[used++] = '\\';
        out[used++] = *text;
    }
    out[used++] = '"';
    return used;
}

/* (a,"b,c") becomes the array literal {"a","b,c"}. */
static bool read_list(struct rst_reader *reader, const char **out)
{
    /* An element needs at most twice its bytes, two quotes and a comma. */
    char *literal = rst_alloc(reader->arena, 4 * strlen(reader->at) + 8);
    size_t used = 0;

    if (literal == NULL)
        return rst_no_memory(reader->err);
    *out = literal;
    if (!take(reader, "("))
        return rst_unexpected(reader, "\"(\"");
    literal[used++] = '{';
    if (*reader->at != ')') {
        for (;;) {
            char *element = try_quoted(reader);
            if (element == NULL)
                element = take_until(reader, ",)");
            if (element == NULL)
                return false;
            used += put_element(literal + used, element);
            if (!take(reader, ","))
                break;
            literal[used++] = ',';
        }
    }
    literal[used] = '}';
    return take(reader, ")") || rst_unexpected(reader, "\",\" or \")\"");
}

static bool read_is(struct rst_reader *reader, const char *word, struct rst_filter *out)
{
    static const char *const words[][2] = {{"null", "NULL"},
                                           {"not_null", "NOT NULL"},
                                           {"true", "TRUE"},
                                           {"false", "FALSE"},
                                           {"unknown", "UNKNOWN"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcasecmp(word, words[i][0]) == 0) {
            out->value = words[i][1];
            return true;
        }
    }
    reader->at -= strlen(word);
    return rst_unexpected(reader, "isVal: (null, not_null, true, false, unknown)");
}

static bool set_value(struct rst_reader *reader, char *text, struct rst_filter *out)
{
    if (out->op == RST_IS)
        return read_is(reader, text, out);
    if (out->op == RST_LIKE || out->op == RST_ILIKE) { /* '*' stands for '%', which URLs hide */
        for (char *c = text; *c != '\0'; c++)
            *c = *c == '*' ? '%' : *c;
    }
    out->value = text;
    return true;
}

bool rst_read_condition(struct rst_reader *reader, struct rst_filter *out)
{
    if (!read_operator(reader, out))
        return false;
    if (out->op == RST_IN)
        return read_list(reader, &out->value) &&
               (*reader->at == '\0' || rst_unexpected(reader, "end of input"));
    char *text = take_until(reader, "");
    return text != NULL && set_value(reader, text, out);
}

/* --- trees ----------------------------------------------------------------------------------- */

/* {1,2} as it stands; quotes in it may hide commas and brackets. */
static char *take_array(struct rst_reader *reader)
{
    const char *end = reader->at + 1;
    bool is_quoted = false;

    for (; *end != '\0' && (is_quoted || *end != '}'); end++) {
        if (is_quoted && *end == '\\' && end[1] != '\0')
            end++;
        else if (*end == '"')
            is_quoted = !is_quoted;
    }
    if (*end != '}')
        return take_until(reader, ",)");
    char *text = rst_copy(reader->arena, reader->at, (size_t)(end + 1 - reader->at));
    if (text == NULL)
        (void)rst_no_memory(reader->err);
    reader->at = end + 1;
    return text;
}

static bool read_leaf(struct rst_reader *reader, struct rst_filter *out)
{
    if (!rst_read_field(reader, ".,()", &out->field))
        return false;
    if (!take(reader, "."))
        return rst_unexpected(reader, "delimiter (.)");
    if (!read_operator(reader, out))
        return false;
    if (out->op == RST_IN)
        return read_list(reader, &out->value);
    char *text = try_quoted(reader);
    if (text == NULL)
        text = *reader->at == '{' ? take_array(reader) : take_until(reader, ",)");
    return text != NULL && set_value(reader, text, out);
}

static bool read_branch(struct rst_reader *reader, struct rst_filter *out, int depth);

static bool read_node(struct rst_reader *reader, struct rst_filter *out, int depth)
{
    const char *begin = reader->at;

    out->is_negated = take(reader, "not.");
    if (take(reader, "and(")) {
        out->kind = RST_AND;
    } else if (take(reader, "or(")) {
        out->kind = RST_OR;
    } else {
        out->is_negated = false;
        reader->at = begin; /* a column may be called "not" */
        out->kind = RST_LEAF;
        return read_leaf(reader, out);
    }
    reader->at--;
    return read_branch(reader, out, depth + 1);
}

static bool read_branch(struct rst_reader *reader, struct rst_filter *out, int depth)
{
    struct rst_filter **tail = &out->children;

    if (depth > RST_DEPTH_MAX) {
        (void)rst_fail(reader->err, 400, "PGRST100",
                       "\"failed to parse logic tree\" (line 1, column %zu)",
                       (size_t)(reader->at - reader->text) + 1);
        return rst_details(reader->err, "more than %d levels of and(...) and or(...)",
                           RST_DEPTH_MAX);
    }
    if (!take(reader, "("))
        return rst_unexpected(reader, "\"(\"");
    do {
        *tail = rst_alloc(reader->arena, sizeof **tail);
        if (*tail == NULL)
            return rst_no_memory(reader->err);
        if (!read_node(reader, *tail, depth))
            return false;
        tail = &(*tail)->next;
    } while (take(reader, ","));
    return take(reader, ")") || rst_unexpected(reader, "\",\" or \")\"");
}

bool rst_read_tree(struct rst_reader *reader, struct rst_filter *out)
{
    return read_branch(reader, out, 1) &&
           (*reader->at == '\0' || rst_unexpected(reader, "end of input"));
}
