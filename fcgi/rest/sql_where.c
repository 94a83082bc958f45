/* fcgi/rest/sql_where.c - conditions as SQL. */
#include <string.h>

#include "fcgi/rest/sql_parts.h"

static const char *const operators[] = {
    [RST_EQ] = " = ",
    [RST_NEQ] = " <> ",
    [RST_LT] = " < ",
    [RST_LTE] = " <= ",
    [RST_GT] = " > ",
    [RST_GTE] = " >= ",
    [RST_LIKE] = " LIKE ",
    [RST_ILIKE] = " ILIKE ",
    [RST_MATCH] = " ~ ",
    [RST_IMATCH] = " ~* ",
    [RST_IN] = " = ANY (",
    [RST_IS] = " IS ",
    [RST_ISDISTINCT] = " IS DISTINCT FROM ",
    [RST_CS] = " @> ",
    [RST_CD] = " <@ ",
    [RST_OV] = " && ",
    [RST_SL] = " << ",
    [RST_SR] = " >> ",
    [RST_NXR] = " &< ",
    [RST_NXL] = " &> ",
    [RST_ADJ] = " -|- ",
};

/* The type of the parameter is what the operator wants beside the column, so that an index is used
 * and a value that is none of that type is 22P02. */
static bool put_leaf(struct rst_builder *b, const struct rst_filter *filter)
{
    if (!rst_put_field(b, &filter->field))
        return false;
    rst_put(b, operators[filter->op]);
    if (filter->op == RST_IS) {
        rst_put(b, filter->value); /* one of the words of query_filter.c */
        return true;
    }
    if (filter->any != RST_ONE)
        rst_put(b, filter->any == RST_ANY ? "ANY (" : "ALL (");
    if (!rst_put_param(b, filter->value))
        return false;
    if (filter->any != RST_ONE || filter->op == RST_IN)
        rst_put(b, ")");
    return true;
}

static bool put_list(struct rst_builder *b, const struct rst_filter *filters, const char *between);

static bool put_filter(struct rst_builder *b, const struct rst_filter *filter)
{
    rst_put(b, filter->is_negated ? "NOT (" : "(");
    bool ok = filter->kind == RST_LEAF
                  ? put_leaf(b, filter)
                  : put_list(b, filter->children, filter->kind == RST_AND ? " AND " : " OR ");
    rst_put(b, ")");
    return ok;
}

static bool put_list(struct rst_builder *b, const struct rst_filter *filters, const char *between)
{
    for (const struct rst_filter *filter = filters; filter != NULL; filter = filter->next) {
        if (filter != filters)
            rst_put(b, between);
        if (!put_filter(b, filter))
            return false;
    }
    return true;
}

bool rst_put_where(struct rst_builder *b)
{
    if (b->query->filters == NULL)
        return true;
    rst_put(b, " WHERE ");
    return put_list(b, b->query->filters, " AND ");
}
