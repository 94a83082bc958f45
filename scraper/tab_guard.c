/* scraper/tab_guard.c - which documents a page may load. Every request for one is paused, hop by
 * hop; the address that answered is looked at as well, since a public name may lead to a private
 * one. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "scraper/tab_internal.h"
#include "shared/log.h"

static void answer(struct scr_tab *tab, const char *session_id, const char *request_id,
                   const char *refusal)
{
    struct scr_cdp *cdp = scr_browser_cdp(tab->browser);

    if (cdp == NULL)
        return;
    if (refusal == NULL)
        scr_cdp_send(cdp, session_id, "Fetch.continueRequest",
                     json_pack("{s:s}", "requestId", request_id), SCR_CDP_DEADLINE_MS, NULL, NULL);
    else /* "Aborted" leaves the document that is there alone */
        scr_cdp_send(cdp, session_id, "Fetch.failRequest",
                     json_pack("{s:s,s:s}", "requestId", request_id, "errorReason", "Aborted"),
                     SCR_CDP_DEADLINE_MS, NULL, NULL);
}

/* The host of an address as Chromium writes it: numeric ones in their plain form. */
static bool host_of(const char *url, char *out, size_t out_size)
{
    const char *start = strstr(url, "://");

    if (start == NULL)
        return false;
    start += 3;
    size_t len = strcspn(start, "/?#");
    const char *at = memchr(start, '@', len);
    if (at != NULL) {
        len -= (size_t)(at + 1 - start);
        start = at + 1;
    }
    if (len > 0 && start[0] == '[') {
        const char *end = memchr(start, ']', len);
        len = end != NULL ? (size_t)(end + 1 - start) : 0;
    } else {
        const char *colon = memchr(start, ':', len);
        len = colon != NULL ? (size_t)(colon - start) : len;
    }
    if (len == 0 || len >= out_size)
        return false;
    memcpy(out, start, len);
    out[len] = '\0';
    return true;
}

static bool is_numeric(const char *host)
{
    return host[0] == '[' || strspn(host, "0123456789.") == strlen(host);
}

static bool is_local_name(const char *host)
{
    static const char name[] = "localhost";
    size_t len = strlen(host), name_len = sizeof name - 1;

    return len >= name_len && strcasecmp(host + len - name_len, name) == 0 &&
           (len == name_len || host[len - name_len - 1] == '.');
}

/* Frames in the page may come from anywhere in public (advertisements, widgets): nothing of them is
 * read unless their socket passes scr_guard_allows_socket. */
static bool may_frame_load(const struct scr_tab *tab, const char *url)
{
    char host[256];

    if (strncmp(url, "https://", 8) != 0 &&
        !(tab->policy.allow_private && strncmp(url, "http://", 7) == 0))
        return false;
    if (tab->policy.allow_private)
        return true;
    return host_of(url, host, sizeof host) && !is_local_name(host) &&
           (!is_numeric(host) || scr_address_ip_allowed(host, &tab->policy));
}

void scr_guard_on_paused(struct scr_tab *tab, const char *session_id, const json_t *params)
{
    const char *request_id = json_string_value(json_object_get(params, "requestId"));
    const char *frame_id = json_string_value(json_object_get(params, "frameId"));
    const char *url = json_string_value(json_object_get(json_object_get(params, "request"), "url"));
    struct df_error err = {0};
    struct scr_address address;

    if (request_id == NULL || url == NULL)
        return;
    if (frame_id == NULL || strcmp(frame_id, tab->listener.target_id) != 0) {
        bool may = may_frame_load(tab, url);
        answer(tab, session_id, request_id, may ? NULL : "frame");
        if (!may)
            df_log(DF_LOG_INFO, "frame_refused", "show=%s", tab->address.show_id);
        return;
    }
    tab->document_status = 0;
    if (scr_address_parse(&address, url, strlen(url), &tab->policy, &err) == DF_OK) {
        answer(tab, session_id, request_id, NULL);
        return;
    }
    answer(tab, session_id, request_id, err.msg);
    if (tab->phase == SCR_PHASE_LOAD)
        scr_tab_give_up(tab, err.msg);
    else
        df_log(DF_LOG_WARN, "navigation_refused", "show=%s", tab->address.show_id);
}

void scr_guard_on_response(struct scr_tab *tab, const json_t *params)
{
    const char *type = json_string_value(json_object_get(params, "type"));
    const char *frame_id = json_string_value(json_object_get(params, "frameId"));
    const json_t *response = json_object_get(params, "response");
    const char *ip = json_string_value(json_object_get(response, "remoteIPAddress"));

    if (type == NULL || strcmp(type, "Document") != 0 || frame_id == NULL ||
        strcmp(frame_id, tab->listener.target_id) != 0 || tab->phase < SCR_PHASE_LOAD)
        return;
    json_int_t status = json_integer_value(json_object_get(response, "status"));
    tab->document_status = status >= 100 && status <= 599 ? (int)status : 0;
    if (ip == NULL || ip[0] == '\0') { /* from a cache or a worker of the page: no new address */
        if (json_is_true(json_object_get(response, "fromDiskCache")) ||
            json_is_true(json_object_get(response, "fromServiceWorker")))
            return;
        ip = "";
    }
    if (!scr_address_ip_allowed(ip, &tab->policy))
        scr_tab_give_up(tab, "the address leads to a private or local one, which is refused");
}

bool scr_guard_allows_socket(const struct scr_tab *tab, const char *url)
{
    char as_page[2048];
    struct scr_address address;
    int len = -1;

    /* Judged by the rules for documents, in the scheme that belongs to it. */
    if (strncmp(url, "wss://", 6) == 0)
        len = snprintf(as_page, sizeof as_page, "https://%s", url + 6);
    else if (strncmp(url, "ws://", 5) == 0)
        len = snprintf(as_page, sizeof as_page, "http://%s", url + 5);
    return len > 0 && (size_t)len < sizeof as_page &&
           scr_address_parse(&address, as_page, (size_t)len, &tab->policy, NULL) == DF_OK;
}
