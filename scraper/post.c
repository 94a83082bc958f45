/* scraper/post.c - sets up libcurl for one small JSON post with a bounded answer. */
#include "scraper/post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "shared/clock.h"
#include "shared/json.h"

#define BODY_MAX_BYTES        65536u
#define ANSWER_MAX_BYTES      65536u /* read and thrown away: the status says it all */
#define BUFFER_BYTES          2048L  /* answers are short */
#define UPLOAD_BYTES          16384L /* the least libcurl takes; its default is 64 KiB */
#define CONNECT_TIMEOUT_MS    5000L
#define IDLE_CONNECTION_MAX_S 60L
#define HEADER_MAX_BYTES      8192

/* --- where to -----------------------------------------------------------------------------------
 */

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= ' ' || *text == 0x7f)
            return false;
    }
    return true;
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    char line[HEADER_MAX_BYTES];
    int len = snprintf(line, sizeof line, "%s%s", name, value);
    if (len < 0 || (size_t)len >= sizeof line)
        return false;
    struct curl_slist *more = curl_slist_append(*list, line);
    explicit_bzero(line, (size_t)len);
    if (more == NULL)
        return false;
    *list = more;
    return true;
}

enum df_code scr_endpoint_settings_init(struct scr_endpoint_settings *out,
                                        const struct scr_config *config, struct df_error *err)
{
    *out = (struct scr_endpoint_settings){.platform = config->platform,
                                          .timeout_ms = config->delivery_timeout_ms};
    if (config->supabase_url == NULL || config->service_key == NULL)
        return df_error_set(err, DF_ENOTFOUND,
                            "SUPABASE_URL or SUPABASE_SERVICE_ROLE_KEY is not set");
    const char *base = config->supabase_url;
    size_t base_len = strlen(base);
    while (base_len > 0 && base[base_len - 1] == '/')
        base_len--;
    if (!is_printable(base) ||
        (strncmp(base, "http://", 7) != 0 && strncmp(base, "https://", 8) != 0))
        return df_error_set(err, DF_EINPUT, "SUPABASE_URL: not an http or https address");
    if (!is_printable(config->service_key))
        return df_error_set(err, DF_EINPUT, "SUPABASE_SERVICE_ROLE_KEY: blanks or control bytes");
    if (asprintf(&out->url, "%.*s/functions/v1/%s", (int)base_len, base, config->function_name) < 0)
        out->url = NULL;
    if (out->url == NULL ||
        !add_header(&out->headers, "Authorization: Bearer ", config->service_key) ||
        !add_header(&out->headers, "apikey: ", config->service_key) ||
        !add_header(&out->headers, "Content-Type: application/json", "") ||
        !add_header(&out->headers, "Expect:", "")) {
        scr_endpoint_settings_release(out);
        return df_error_set(err, DF_EINPUT, "SUPABASE_SERVICE_ROLE_KEY: too long");
    }
    return DF_OK;
}

void scr_endpoint_settings_release(struct scr_endpoint_settings *settings)
{
    free(settings->url);
    settings->url = NULL;
    for (struct curl_slist *at = settings->headers; at != NULL; at = at->next)
        explicit_bzero(at->data, strlen(at->data));
    curl_slist_free_all(settings->headers);
    settings->headers = NULL;
}

/* --- one post -----------------------------------------------------------------------------------
 */

bool scr_post_encode(struct df_buf *out, const struct scr_item *item, const char *session,
                     const char *platform)
{
    char id[DF_UUID_TEXT_SIZE];

    df_uuid_format(id, &item->id);
    df_buf_append_str(out, "{\"message\":");
    df_json_append_string(out, item->text, item->text_len);
    df_buf_append_str(out, ",\"username\":");
    df_json_append_string(out, item->username, item->username_len);
    df_buf_append_str(out, ",\"streamSessionId\":");
    df_json_append_string(out, session, strlen(session));
    df_buf_append_str(out, ",\"platform\":");
    df_json_append_string(out, platform, strlen(platform));
    df_buf_append_str(out, ",\"messageId\":\"");
    df_buf_append_str(out, id);
    df_buf_append_str(out, "\"");
    if (item->role != SCR_VIEWER)
        df_buf_append_str(out, item->role == SCR_HOST ? ",\"role\":\"host\""
                                                      : ",\"role\":\"moderator\"");
    df_buf_append_str(out, "}");
    return !out->failed;
}

static size_t on_answer(char *data, size_t size, size_t count, void *user)
{
    struct scr_post *post = user;

    (void)data;
    post->answer_bytes += size * count;
    return post->answer_bytes <= ANSWER_MAX_BYTES ? size * count : 0;
}

static bool set_options(struct scr_post *post, const struct scr_endpoint_settings *settings)
{
    CURL *easy = post->transfer.easy;
    long timeout_ms = (long)settings->timeout_ms;
    long connect_ms = timeout_ms < CONNECT_TIMEOUT_MS ? timeout_ms : CONNECT_TIMEOUT_MS;

    return curl_easy_setopt(easy, CURLOPT_PRIVATE, &post->transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_URL, settings->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, settings->headers) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           /* One post, one connection: what fails, fails alone. */
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BYTES) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_MAX_S) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "dealflow-scraper") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, post) == CURLE_OK;
}

struct scr_post *scr_post_new(const struct scr_endpoint_settings *settings)
{
    struct scr_post *post = calloc(1, sizeof *post);

    if (post == NULL)
        return NULL;
    df_buf_init(&post->body, BODY_MAX_BYTES);
    post->transfer.easy = curl_easy_init();
    if (post->transfer.easy == NULL || !set_options(post, settings)) {
        scr_post_free(post);
        return NULL;
    }
    return post;
}

void scr_post_free(struct scr_post *post)
{
    if (post == NULL)
        return;
    curl_easy_cleanup(post->transfer.easy);
    df_buf_release(&post->body);
    free(post);
}

bool scr_post_prepare(struct scr_post *post, const struct scr_endpoint_settings *settings,
                      struct scr_lane *lane, struct scr_item *item)
{
    df_buf_reset(&post->body);
    if (!scr_post_encode(&post->body, item, lane->name, settings->platform) ||
        curl_easy_setopt(post->transfer.easy, CURLOPT_POSTFIELDS, post->body.data) != CURLE_OK ||
        curl_easy_setopt(post->transfer.easy, CURLOPT_POSTFIELDSIZE, (long)post->body.len) !=
            CURLE_OK)
        return false;
    post->lane = lane;
    post->item = item;
    post->answer_bytes = 0;
    post->started_ns = df_clock_mono_ns();
    return true;
}

int scr_post_status(const struct scr_post *post, int curl_result, int64_t *retry_after_ms)
{
    long status = 0;
    curl_off_t retry_after_s = 0;

    *retry_after_ms = 0;
    /* An answer that is too long was cut by us; its status counts. */
    if (curl_result != CURLE_OK && curl_result != CURLE_WRITE_ERROR)
        return 0;
    (void)curl_easy_getinfo(post->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(post->transfer.easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    if (retry_after_s > 0)
        *retry_after_ms = (int64_t)retry_after_s < 86400 ? (int64_t)retry_after_s * 1000 : 86400000;
    return (int)status;
}
