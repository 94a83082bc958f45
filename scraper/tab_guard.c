/* scraper/tab_guard.c - which documents a page may load. Every request for one is paused, hop by
 * hop; the address that answered is looked at as well, since a public name may lead to a private
 * one. */
#include <stdio.h>
#include <string.h>

#include "scraper/tab_foreign.h"
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
        bool may = scr_frame_may_load(url, &tab->policy);
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
    const char *url = json_string_value(json_object_get(response, "url"));

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
    if (url != NULL && scr_address_is_local_page(url, &tab->policy))
        return;
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
