/* fcgi/gateway_call.c - sets up libcurl so that a request is small, bounded, and never sent twice. */
#include "fcgi/gateway_call.h"

#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#define CURL_BUFFER_BYTES 16384L /* both ways; the default upload buffer is 64 KiB a call */
#define REQUEST_KEEP_BYTES  ((size_t)16 * 1024)
#define RESPONSE_KEEP_BYTES ((size_t)8 * 1024)
/* Node closes an idle connection after 5 s; using one in that moment would lose the request. */
#define IDLE_CONNECTION_MAX_S 4L

/* The body goes out through this callback and not as CURLOPT_POSTFIELDS: libcurl resends a request
 * by itself when a kept connection dies before the answer, and the model may have answered (and
 * billed) already. Without a way to rewind it gives up instead. */
static size_t on_send(char *to, size_t size, size_t count, void *user)
{
    struct mrs_call *call = user;
    size_t left = call->request.len - call->sent;
    size_t room = size * count;
    size_t n = left < room ? left : room;

    memcpy(to, call->request.data + call->sent, n);
    call->sent += n;
    return n;
}

static size_t on_receive(char *data, size_t size, size_t count, void *user)
{
    struct mrs_call *call = user;

    if (!df_buf_append(&call->response, data, size * count)) {
        call->is_too_big = true;
        return 0;
    }
    return size * count;
}

/* Runs when the address is known and the socket was made. */
static int on_socket(void *user, curl_socket_t fd, curlsocktype purpose)
{
    struct mrs_call *call = user;

    (void)fd;
    (void)purpose;
    *call->has_address = true;
    return CURL_SOCKOPT_OK;
}

static bool set_options(struct mrs_call *call)
{
    CURL *easy = call->easy;

    return curl_easy_setopt(easy, CURLOPT_PRIVATE, call) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           /* One call, one connection: simple to count, and a stalled stream stalls nobody else. */
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, CURL_BUFFER_BYTES) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, CURL_BUFFER_BYTES) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_MAX_S) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "dealflow-monitor") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_send) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_READDATA, call) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_receive) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, call) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, call) == CURLE_OK;
}

enum df_code mrs_call_new(struct mrs_call **out, bool *has_address, struct df_error *err)
{
    struct mrs_call *call = calloc(1, sizeof *call);

    *out = NULL;
    if (call == NULL)
        return df_error_set(err, DF_ENOMEM, "model call: out of memory");
    call->has_address = has_address;
    df_buf_init(&call->request, MRS_REQUEST_MAX_BYTES);
    df_buf_init(&call->response, MRS_REPLY_MAX_BYTES);
    call->easy = curl_easy_init();
    if (call->easy == NULL || !set_options(call)) {
        mrs_call_free(call);
        return df_error_set(err, DF_ENOMEM, "model call: libcurl would not start");
    }
    *out = call;
    return DF_OK;
}

void mrs_call_free(struct mrs_call *call)
{
    if (call == NULL)
        return;
    curl_easy_cleanup(call->easy);
    mrs_settings_drop(call->settings);
    df_buf_release(&call->request);
    df_buf_release(&call->response);
    free(call);
}

enum df_code mrs_call_prepare(struct mrs_call *call, struct mrs_settings *settings,
                              const struct mrs_request_shape *shape,
                              const struct df_chat_line *const *lines, size_t line_count,
                              uint32_t random, int64_t left_ms, struct df_error *err)
{
    int64_t connect_ms =
        settings->connect_timeout_ms < left_ms ? settings->connect_timeout_ms : left_ms;
    call->line_count = line_count;
    call->numbering = mrs_numbering_from(random);
    enum df_code rc = line_count == 1
                          ? mrs_gateway_format_request(&call->request, shape, lines[0], err)
                          : mrs_gateway_format_batch(&call->request, shape, lines, line_count,
                                                     &call->numbering, err);

    if (rc != DF_OK)
        return rc;
    settings->refs++;
    call->settings = settings;
    CURL *easy = call->easy;
    if (curl_easy_setopt(easy, CURLOPT_URL, settings->url) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, settings->headers) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->request.len) !=
            CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)left_ms) != CURLE_OK ||
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms) != CURLE_OK)
        return df_error_set(err, DF_ENOMEM, "model call: libcurl refused an option");
    return DF_OK;
}

void mrs_call_reset(struct mrs_call *call)
{
    mrs_settings_drop(call->settings);
    call->settings = NULL;
    call->ask = NULL;
    call->sent = 0;
    call->is_too_big = false;
    if (call->request.cap > REQUEST_KEEP_BYTES)
        df_buf_release(&call->request);
    else
        df_buf_reset(&call->request);
    if (call->response.cap > RESPONSE_KEEP_BYTES)
        df_buf_release(&call->response);
    else
        df_buf_reset(&call->response);
}

bool mrs_call_is_unsent(const struct mrs_call *call)
{
    return call->sent == 0;
}
