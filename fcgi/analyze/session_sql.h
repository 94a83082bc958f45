/* fcgi/analyze/session_sql.h - the statements of re-analysis, prepared on its connection. */
#ifndef FCGI_ANALYZE_SESSION_SQL_H
#define FCGI_ANALYZE_SESSION_SQL_H

#include "shared/pg.h"

extern const struct df_pg_statement an_session_statements[];
extern const size_t an_session_statement_count;

/* Columns of "claim_part" and "read_lines". */
enum {
    AN_COL_PART,
    AN_COL_ID, /* null: all messages of the part were deleted */
    AN_COL_USERNAME,
    AN_COL_MESSAGE,
    AN_COL_PLATFORM,
    AN_COL_WAS_CAPTURED, /* it became a sale once, which may have been deleted since */
    AN_COL_HAS_SALE,
};

#endif
