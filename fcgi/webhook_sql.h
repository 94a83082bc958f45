/* fcgi/webhook_sql.h - the statements of the webhook thread. */
#ifndef FCGI_WEBHOOK_SQL_H
#define FCGI_WEBHOOK_SQL_H

#include "shared/pg.h"

extern const struct df_pg_statement mrs_webhook_statements[];
extern const size_t mrs_webhook_statement_count;

#endif
