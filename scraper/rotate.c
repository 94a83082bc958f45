/* scraper/rotate.c - another show for a session whose page is over, refused, or silent: the fallback
 * addresses it was started with first, then what the index page lists. One list is tried from top
 * to bottom; when nothing on it lives, the next list is made after a growing pause. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/session.h"
#include "shared/clock.h"
#include "shared/log.h"

static const int64_t pause_ms[] = {60000, 120000, 300000, 600000, 1800000};

static const json_t *fallback_urls(const struct scr_session *session)
{
    return json_object_get(session->request, "fallbackUrls");
}

static bool may_discover(const struct scr_session *session)
{
    return json_is_true(json_object_get(session->request, "autoDiscover"));
}

bool scr_rotate_is_wanted(const struct scr_session *session)
{
    return may_discover(session) || json_array_size(fallback_urls(session)) > 0;
}

static struct scr_address_policy policy_of(const struct scr_session *session)
{
    const struct scr_config *config = session->monitor->parts.config;
    return (struct scr_address_policy){.allowed_hosts = config->allowed_hosts,
                                       .allow_private = config->allow_private == SCR_ON};
}

static void release_list(struct scr_session *session)
{
    free(session->candidates);
    session->candidates = NULL;
    session->candidate_count = session->candidate_next = 0;
    session->has_discovered = false;
}

static void add_candidate(struct scr_session *session, const char *url, enum scr_purpose purpose)
{
    struct scr_address address;
    const struct scr_address_policy policy = policy_of(session);

    if (session->candidate_count == SCR_CANDIDATES_MAX ||
        scr_address_parse(&address, url, strlen(url), &policy, NULL) != DF_OK ||
        scr_monitor_watches_show(session->monitor, address.url))
        return;
    for (size_t i = 0; i < session->candidate_count; i++)
        if (strcmp(session->candidates[i].url, address.url) == 0)
            return;
    struct scr_candidate *candidate = &session->candidates[session->candidate_count++];
    (void)snprintf(candidate->url, sizeof candidate->url, "%s", address.url);
    candidate->purpose = purpose;
}

/* Nothing on the list lives. */
static void give_up(struct scr_session *session)
{
    size_t step = session->rotations_failed;

    release_list(session);
    session->is_rotating = false;
    if (session->current == NULL) {
        scr_session_close(session, SCR_FAILED, "No live show was found");
        return;
    }
    if (step >= sizeof pause_ms / sizeof pause_ms[0])
        step = sizeof pause_ms / sizeof pause_ms[0] - 1;
    session->rotations_failed++;
    scr_timer_set(session->monitor->parts.loop, &session->retry_timer, pause_ms[step]);
    scr_events_error(session->monitor, session, "NO_OTHER_SHOW",
                     "No other show could be opened; trying again later");
}

static void try_next(struct scr_session *session);

static void on_discovered(void *arg, const struct scr_show *show, size_t count,
                          const struct df_error *err)
{
    struct scr_session *session = arg;

    if (err != NULL)
        df_log(DF_LOG_WARN, "discovery_failed", "stream=%s error=\"%s\"",
               session->totals->stream_id, err->msg);
    for (size_t i = 0; i < count; i++)
        add_candidate(session, show[i].url, SCR_FOR_DISCOVERY);
    try_next(session);
}

static void discover(struct scr_session *session)
{
    const struct scr_monitor_parts *parts = &session->monitor->parts;
    struct df_error err = {0};

    session->has_discovered = true;
    scr_discover_cancel(session->discover);
    session->discover = NULL;
    if (scr_discover_start(&session->discover, parts->loop, parts->browser, parts->config,
                           parts->rules, on_discovered, session, &err) != DF_OK)
        on_discovered(session, NULL, 0, &err);
}

static void try_next(struct scr_session *session)
{
    struct scr_address address;
    const struct scr_address_policy policy = policy_of(session);

    while (session->candidate_next < session->candidate_count) {
        const struct scr_candidate *candidate = &session->candidates[session->candidate_next++];
        bool is_first_page = session->current == NULL;
        /* Another session may have taken it meanwhile. */
        if (!scr_monitor_watches_show(session->monitor, candidate->url) &&
            scr_address_parse(&address, candidate->url, strlen(candidate->url), &policy, NULL) ==
                DF_OK &&
            scr_session_try(session, &address, candidate->purpose)) {
            if (is_first_page) /* it is the current page now: its own state tells what comes next */
                session->is_rotating = false;
            return;
        }
    }
    if (may_discover(session) && !session->has_discovered)
        discover(session);
    else
        give_up(session);
}

void scr_rotate_begin(struct scr_session *session, const char *why)
{
    const json_t *urls = fallback_urls(session);

    if (session->is_closing || session->is_rotating || session->candidate != NULL ||
        scr_timer_is_set(&session->retry_timer) || !scr_rotate_is_wanted(session) ||
        (session->current != NULL && scr_session_state(session) == SCR_LIVE))
        return;
    session->is_rotating = true;
    df_log(DF_LOG_INFO, "rotation_started", "stream=%s why=\"%s\"", session->totals->stream_id, why);
    scr_events_state(session, "rotating", why);
    if (session->candidates == NULL) {
        session->candidates = calloc(SCR_CANDIDATES_MAX, sizeof *session->candidates);
        if (session->candidates == NULL) {
            give_up(session);
            return;
        }
        for (size_t i = 0; i < json_array_size(urls); i++)
            if (json_is_string(json_array_get(urls, i)))
                add_candidate(session, json_string_value(json_array_get(urls, i)), SCR_FOR_FALLBACK);
    }
    try_next(session);
}

void scr_rotate_failed(struct scr_session *session)
{
    if (session->is_rotating)
        try_next(session);
}

void scr_rotate_done(struct scr_session *session)
{
    release_list(session);
    session->is_rotating = false;
    session->rotations_failed = 0;
    scr_timer_cancel(session->monitor->parts.loop, &session->retry_timer);
    scr_timer_cancel(session->monitor->parts.loop, &session->rotate_timer);
}

/* Chat, joins and viewer changes are signs of life: each sets the timer anew. */
void scr_rotate_watch(struct scr_session *session)
{
    struct scr_loop *loop = session->monitor->parts.loop;

    if (scr_session_state(session) == SCR_QUIET && scr_rotate_is_wanted(session))
        scr_timer_set(loop, &session->rotate_timer, session->monitor->parts.config->rotate_after_ms);
    else
        scr_timer_cancel(loop, &session->rotate_timer);
}

void scr_rotate_release(struct scr_session *session)
{
    scr_discover_cancel(session->discover);
    session->discover = NULL;
    release_list(session);
}
