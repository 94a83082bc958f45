/* fcgi/webhook_call.c - a libcurl transfer that trusts neither its address nor its answer. */
#include "fcgi/webhook_call.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/netaddr.h"

enum { CONNECT_MS = 5000, ANSWER_MAX_BYTES = 65536, URL_MAX = 2048, RETRY_AFTER_MAX_S = 3600 };

struct mrs_webhook_call {
    CURL *easy;
    struct curl_slist *headers;
    char *body, *url;
    struct df_uuid sale, owner;
    int attempts;
    bool allow_private, was_refused;
    size_t answer_bytes;
    char error[CURL_ERROR_SIZE];
};

enum df_code mrs_webhook_sign(char out[MRS_SIGNATURE_SIZE], const char *secret, int64_t unix_s,
                              const char *body, size_t body_len, struct df_error *err)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_len = 0;
    char stamp[24];
    int stamp_len = snprintf(stamp, sizeof stamp, "%lld.", (long long)unix_s);
    char *signed_text = malloc((size_t)stamp_len + body_len);

    if (signed_text == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    memcpy(signed_text, stamp, (size_t)stamp_len);
    memcpy(signed_text + stamp_len, body, body_len);
    const unsigned char *done =
        HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)signed_text,
             (size_t)stamp_len + body_len, mac, &mac_len);
    free(signed_text);
    if (done == NULL)
        return df_error_set(err, DF_EBUG, "HMAC failed");
    int len = snprintf(out, MRS_SIGNATURE_SIZE, "t=%lld,v1=", (long long)unix_s);
    for (unsigned i = 0; i < mac_len; i++)
        len += snprintf(out + len, (size_t)(MRS_SIGNATURE_SIZE - len), "%02x", mac[i]);
    return DF_OK;
}

/* --- libcurl's callbacks --------------------------------------------------------------------- */

static bool is_public(const struct curl_sockaddr *address)
{
    if (address->family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, &address->addr, sizeof v4);
        return df_netaddr_is_public4(ntohl(v4.sin_addr.s_addr));
    }
    if (address->family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, (const void *)&address->addr, sizeof v6);
        return df_netaddr_is_public6(v6.sin6_addr.s6_addr);
    }
    return false;
}

/* The last moment before a connection, with the address that it will go to. */
static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct mrs_webhook_call *call = user;

    (void)purpose;
    if (!call->allow_private && !is_public(address)) {
        call->was_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Nobody reads the answer; one that does not end costs no more than this. */
static size_t on_answer(char *data, size_t size, size_t count, void *user)
{
    struct mrs_webhook_call *call = user;

    (void)data;
    call->answer_bytes += size * count;
    return call->answer_bytes > ANSWER_MAX_BYTES ? 0 : size * count;
}

/* --- making ---------------------------------------------------------------------------------- */

static enum df_code check_url(const struct mrs_webhook_event *event, bool allow_private,
                              struct df_error *err)
{
    char *scheme = NULL, *host = NULL;

    if (event->url == NULL || event->url[0] == '\0')
        return df_error_set(err, DF_EINPUT, "webhook_url is not set any more");
    if (event->secret == NULL)
        return df_error_set(err, DF_EINPUT, "there is no secret: call rotate_webhook_secret()");
    CURLU *url = curl_url();
    if (url == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    enum df_code rc = DF_OK;
    if (strlen(event->url) > URL_MAX || curl_url_set(url, CURLUPART_URL, event->url, 0) != 0 ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != 0 ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != 0)
        rc = df_error_set(err, DF_EINPUT, "webhook_url is not an address");
    else if (strcmp(scheme, "https") != 0 && !(allow_private && strcmp(scheme, "http") == 0))
        rc = df_error_set(err, DF_EINPUT, "webhook_url must begin with https://");
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(url);
    return rc;
}

static bool add_header(struct mrs_webhook_call *call, const char *name, const char *value)
{
    char line[256];
    (void)snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(call->headers, line);
    if (longer == NULL)
        return false;
    call->headers = longer;
    return true;
}

static enum df_code add_headers(struct mrs_webhook_call *call,
                                const struct mrs_webhook_event *event, struct df_error *err)
{
    char signature[MRS_SIGNATURE_SIZE], id[DF_UUID_TEXT_SIZE];

    enum df_code rc = mrs_webhook_sign(signature, event->secret, (int64_t)time(NULL), event->body,
                                       strlen(event->body), err);
    if (rc != DF_OK)
        return rc;
    df_uuid_format(id, &event->sale);
    if (!add_header(call, "Content-Type", "application/json") ||
        !add_header(call, "X-DealFlow-Event", "sale.captured") ||
        !add_header(call, "X-DealFlow-Id", id) ||
        !add_header(call, "X-DealFlow-Signature", signature) || !add_header(call, "Expect", ""))
        return df_error_set(err, DF_ENOMEM, "out of memory");
    return DF_OK;
}

static bool set_options(struct mrs_webhook_call *call, const struct mrs_webhook_event *event,
                        const struct mrs_webhook_policy *policy)
{
    CURL *easy = call->easy;
    const char *schemes = policy->allow_private ? "https,http" : "https";
    bool ok = curl_easy_setopt(easy, CURLOPT_URL, event->url) == CURLE_OK;

    ok = ok && curl_easy_setopt(easy, CURLOPT_PRIVATE, call) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, schemes) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK; /* it would hide addresses */
    ok = ok && curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)policy->timeout_ms) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_USERAGENT, "DealFlow-Webhook/1") == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 16384L) == CURLE_OK;
    ok = ok && curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body) == CURLE_OK;
    return ok;
}

enum df_code mrs_webhook_call_new(struct mrs_webhook_call **out,
                                  const struct mrs_webhook_event *event,
                                  const struct mrs_webhook_policy *policy, struct df_error *err)
{
    *out = NULL;
    enum df_code rc = check_url(event, policy->allow_private, err);
    if (rc != DF_OK)
        return rc;
    struct mrs_webhook_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    call->sale = event->sale;
    call->owner = event->owner;
    call->attempts = event->attempts;
    call->allow_private = policy->allow_private;
    call->body = strdup(event->body);
    call->url = strdup(event->url);
    call->easy = curl_easy_init();
    if (call->body == NULL || call->url == NULL || call->easy == NULL)
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
    if (rc == DF_OK)
        rc = add_headers(call, event, err);
    if (rc == DF_OK && !set_options(call, event, policy))
        rc = df_error_set(err, DF_ENOMEM, "libcurl refused an option");
    if (rc != DF_OK) {
        mrs_webhook_call_free(call);
        call = NULL;
    }
    *out = call;
    return rc;
}

void mrs_webhook_call_free(struct mrs_webhook_call *call)
{
    if (call == NULL)
        return;
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    free(call->body);
    free(call->url);
    free(call);
}

void *mrs_webhook_call_easy(struct mrs_webhook_call *call)
{
    return call->easy;
}

/* --- the end --------------------------------------------------------------------------------- */

static void explain(const struct mrs_webhook_call *call, CURLcode code,
                    struct mrs_webhook_result *out)
{
    if (call->was_refused)
        (void)snprintf(out->error, sizeof out->error,
                       "the address is private or reserved; receivers must be on the internet");
    else if (code == CURLE_WRITE_ERROR && call->answer_bytes > ANSWER_MAX_BYTES)
        (void)snprintf(out->error, sizeof out->error, "the answer is larger than %d bytes",
                       ANSWER_MAX_BYTES);
    else if (code != CURLE_OK)
        (void)snprintf(out->error, sizeof out->error, "%.150s",
                       call->error[0] != '\0' ? call->error : curl_easy_strerror(code));
    else if (out->status >= 300 && out->status < 400)
        (void)snprintf(out->error, sizeof out->error, "answered %ld: redirects are not followed",
                       out->status);
    else
        (void)snprintf(out->error, sizeof out->error, "answered %ld", out->status);
}

void mrs_webhook_call_result(const struct mrs_webhook_call *call, int curl_code,
                             struct mrs_webhook_result *out)
{
    curl_off_t retry_after_s = 0;

    *out = (struct mrs_webhook_result){.sale = call->sale,
                                       .owner = call->owner,
                                       .attempts = call->attempts,
                                       .was_refused = call->was_refused,
                                       .url = call->url};
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &out->status);
    (void)curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    if (retry_after_s > RETRY_AFTER_MAX_S)
        retry_after_s = RETRY_AFTER_MAX_S;
    /* A 2xx whose body did not end, or was too long, has been said all the same. */
    out->is_delivered = out->status >= 200 && out->status < 300;
    out->retry_after_ms = (int64_t)retry_after_s * 1000;
    if (!out->is_delivered)
        explain(call, (CURLcode)curl_code, out);
}
