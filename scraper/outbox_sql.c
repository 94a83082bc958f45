/* scraper/outbox_sql.c - tables of the outbox, and every statement on them. */
#include "scraper/outbox_db.h"

/* Lines are clustered by session and number: appending touches one page of the session's end, the
 * oldest ones of a session go page by page, and no further index is kept. */
const char scr_outbox_schema[] =
    "create table session ("
    " id integer primary key,"
    " name text not null unique,"           /* sessionId as the caller gave it */
    " done_seq integer not null default 0"  /* settled up to here */
    ") strict;"
    "create table line ("
    " session integer not null,"
    " seq integer not null,"                /* 1, 2, ... in order of capture, gaps allowed */
    " is_due integer not null,"             /* 1: to be delivered */
    " captured_ms integer not null,"
    " id blob not null,"                    /* messageId */
    " flags integer not null,"              /* see pack_flags */
    " line_id text not null,"               /* identity at the source, '' when it has none */
    " username text not null,"
    " text text not null,"
    " primary key (session, seq)"
    ") strict, without rowid;"
    "create table identity ("
    " session integer not null,"
    " line_id text not null,"
    " seq integer not null,"
    " id blob not null,"
    " primary key (session, line_id)"
    ") strict, without rowid;"
    "create table dead_letter ("
    " id blob not null primary key,"
    " session text not null,"
    " username text not null,"
    " text text not null,"
    " captured_ms integer not null,"
    " dead_ms integer not null,"
    " status integer not null,"             /* of the last answer, 0 when there was none */
    " reason text not null"
    ") strict, without rowid;"
    "create table watch ("
    " session text not null primary key,"
    " stream_id text not null,"
    " url text not null,"
    " owner text not null,"
    " request text not null,"
    " messages integer not null,"
    " buyers integer not null,"
    " value_cents integer not null,"
    " started_ms integer not null"
    ") strict, without rowid;";

#define LINE_COLUMNS "seq, is_due, captured_ms, id, flags, line_id, username, text"
#define OWED "(select count(*) from line l where l.session = s.id and l.seq > s.done_seq and l.is_due = 1)"
#define NEWEST "max(s.done_seq, coalesce((select max(seq) from line l where l.session = s.id), 0))"

const char *const scr_outbox_sql[SCR_SQL_COUNT] = {
    [SCR_SQL_BEGIN] = "begin immediate",
    [SCR_SQL_COMMIT] = "commit",
    [SCR_SQL_ROLLBACK] = "rollback",
    [SCR_SQL_PAGE_COUNT] = "pragma page_count",
    [SCR_SQL_FREE_COUNT] = "pragma freelist_count",
    [SCR_SQL_VACUUM] = "pragma incremental_vacuum(256)",
    [SCR_SQL_SESSION] = "select s.id, s.done_seq, " NEWEST ", " OWED ", s.name"
                        " from session s where s.name = ?1",
    [SCR_SQL_SESSION_ADD] = "insert into session (name) values (?1)",
    [SCR_SQL_IDENTITY_ADD] = "insert into identity (session, line_id, seq, id) values (?1, ?2, ?3, ?4)"
                             " on conflict do nothing",
    [SCR_SQL_IDENTITY] = "select id from identity where session = ?1 and line_id = ?2",
    [SCR_SQL_LINE_ADD] = "insert into line (session, " LINE_COLUMNS ")"
                         " values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [SCR_SQL_WATCH_COUNT] = "update watch set messages = messages + 1, buyers = buyers + ?2,"
                            " value_cents = value_cents + ?3 where session = ?1",
    [SCR_SQL_WATCH_PUT] = "insert or replace into watch (session, stream_id, url, owner, request,"
                          " messages, buyers, value_cents, started_ms)"
                          " values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [SCR_SQL_WATCH_REMOVE] = "delete from watch where session = ?1",
    [SCR_SQL_WATCHES] = "select session, stream_id, url, owner, request, messages, buyers,"
                        " value_cents, started_ms from watch order by started_ms, session",
    [SCR_SQL_DONE] = "update session set done_seq = ?2 where id = ?1",
    [SCR_SQL_BURY] = "insert or ignore into dead_letter select l.id, s.name, l.username, l.text,"
                     " l.captured_ms, ?3, ?4, ?5 from line l join session s on s.id = l.session"
                     " where l.session = ?1 and l.seq = ?2",
    [SCR_SQL_FIRST_YOUNG] = "select seq from line where session = ?1 and seq > ?2 and is_due = 1"
                            " and captured_ms >= ?3 order by seq limit 1",
    [SCR_SQL_BURY_RANGE] = "insert or ignore into dead_letter select l.id, s.name, l.username,"
                           " l.text, l.captured_ms, ?4, 0, ?5 from line l"
                           " join session s on s.id = l.session where l.session = ?1"
                           " and l.seq > ?2 and l.seq < ?3 and l.is_due = 1",
    [SCR_SQL_TRIM_LINES] = "delete from line where session = ?1 and seq <= ?2",
    [SCR_SQL_TRIM_IDENTITIES] = "delete from identity where session = ?1 and seq <= ?2",
    [SCR_SQL_GIVE_UP] = "delete from line where session = ?1 and seq <= ?2 and seq <"
                        " (select min(seq) from line where session = ?1) + ?3",
    [SCR_SQL_SESSIONS] = "select id, done_seq from session",
    [SCR_SQL_FORGETTABLE] = "select s.id from session s"
                            " where not exists (select 1 from watch w where w.session = s.name)"
                            " and not exists (select 1 from line l where l.session = s.id and"
                            " (l.captured_ms >= ?1 or (l.seq > s.done_seq and l.is_due = 1)))"
                            " limit 1",
    [SCR_SQL_FORGET_LINES] = "delete from line where session = ?1",
    [SCR_SQL_FORGET_IDENTITIES] = "delete from identity where session = ?1",
    [SCR_SQL_FORGET_SESSION] = "delete from session where id = ?1",
    [SCR_SQL_FORGET_LETTERS] = "delete from dead_letter where dead_ms < ?1",
    [SCR_SQL_DROP_LETTERS] = "delete from dead_letter where id in"
                             " (select id from dead_letter order by id limit 1000)",
    [SCR_SQL_BACKLOG] = "select s.id, s.done_seq, " NEWEST ", " OWED " as owed, s.name"
                        " from session s where owed > 0",
    [SCR_SQL_PENDING] = "select " LINE_COLUMNS " from line where session = ?1 and seq > ?2"
                        " and is_due = 1 order by seq limit ?3",
    [SCR_SQL_TAIL] = "select " LINE_COLUMNS " from (select " LINE_COLUMNS " from line where session ="
                     " (select id from session where name = ?1) order by seq desc limit ?2)"
                     " order by seq",
};
