/* scraper/owner.c - GET /rest/v1/stream_sessions?id=eq.ID: row level security says whose it is. */
#include "scraper/owner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>

#include "scraper/post.h"
#include "shared/buf.h"
#include "shared/json.h"

#define PARALLEL_MAX     8
#define WAITING_MAX      1000
#define TIMEOUT_MS       5000L
#define ANSWER_MAX_BYTES 16384u
#define BUFFER_BYTES     2048L

struct inquiry {
    struct scr_transfer transfer;
    struct inquiry *next, *prev;
    struct scr_question_order *question;
    struct curl_slist *headers;
    struct df_buf answer;
};

struct scr_owner_desk {
    CURLM *multi;
    char *base_url;
    scr_owner_answer_fn *on_answer;
    void *user;
    struct scr_order_list waiting;
    struct inquiry *active;
    unsigned waiting_count, active_count;
};

struct scr_owner_desk *scr_owner_new(const char *base_url, void *multi,
                                     scr_owner_answer_fn *on_answer, void *user)
{
    struct scr_owner_desk *desk = calloc(1, sizeof *desk);

    if (desk == NULL)
        return NULL;
    *desk = (struct scr_owner_desk){.multi = multi, .on_answer = on_answer, .user = user};
    if (base_url != NULL && (desk->base_url = strdup(base_url)) == NULL) {
        free(desk);
        return NULL;
    }
    for (size_t len = base_url != NULL ? strlen(base_url) : 0;
         len > 0 && desk->base_url[len - 1] == '/'; len--)
        desk->base_url[len - 1] = '\0';
    return desk;
}

static void free_inquiry(struct inquiry *inquiry)
{
    if (inquiry == NULL)
        return;
    curl_easy_cleanup(inquiry->transfer.easy);
    for (struct curl_slist *at = inquiry->headers; at != NULL; at = at->next)
        explicit_bzero(at->data, strlen(at->data));
    curl_slist_free_all(inquiry->headers);
    df_buf_release(&inquiry->answer);
    scr_order_free(inquiry->question != NULL ? &inquiry->question->order : NULL);
    free(inquiry);
}

void scr_owner_free(struct scr_owner_desk *desk)
{
    if (desk == NULL)
        return;
    while (desk->active != NULL) {
        struct inquiry *inquiry = desk->active;
        desk->active = inquiry->next;
        (void)curl_multi_remove_handle(desk->multi, inquiry->transfer.easy);
        free_inquiry(inquiry);
    }
    scr_order_list_free(&desk->waiting);
    free(desk->base_url);
    free(desk);
}

static size_t on_data(char *data, size_t size, size_t count, void *user)
{
    struct inquiry *inquiry = user;
    return df_buf_append(&inquiry->answer, data, size * count) ? size * count : 0;
}

/* A row came back: the caller may see the session. */
static bool has_row(const struct df_buf *answer)
{
    json_t *root = NULL;
    bool is_there =
        answer->data != NULL &&
        df_json_parse(&root, answer->data, answer->len, ANSWER_MAX_BYTES, NULL) == DF_OK &&
        json_is_array(root) && json_array_size(root) > 0;
    json_decref(root);
    return is_there;
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
    char *line = NULL;

    if (asprintf(&line, "%s%s", name, value) < 0)
        return false;
    struct curl_slist *more = curl_slist_append(*list, line);
    explicit_bzero(line, strlen(line));
    free(line);
    if (more == NULL)
        return false;
    *list = more;
    return true;
}

static bool set_options(struct inquiry *inquiry, const char *url)
{
    CURL *easy = inquiry->transfer.easy;

    return curl_easy_setopt(easy, CURLOPT_PRIVATE, &inquiry->transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, inquiry->headers) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "dealflow-scraper") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, inquiry) == CURLE_OK;
}

static void start_waiting(struct scr_owner_desk *desk);

static void on_done(void *user, struct scr_transfer *transfer, int curl_result)
{
    struct scr_owner_desk *desk = user;
    struct inquiry *inquiry = (struct inquiry *)transfer;
    long status = 0;

    if (curl_result == CURLE_OK)
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (inquiry->prev != NULL)
        inquiry->prev->next = inquiry->next;
    else
        desk->active = inquiry->next;
    if (inquiry->next != NULL)
        inquiry->next->prev = inquiry->prev;
    desk->active_count--;
    desk->on_answer(desk->user, inquiry->question->token,
                    status == 200 && has_row(&inquiry->answer), (int)status);
    free_inquiry(inquiry);
    start_waiting(desk);
}

/* Takes the question. */
static struct inquiry *prepare(struct scr_owner_desk *desk, struct scr_question_order *question)
{
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    char *url = NULL;
    bool is_ready = false;

    if (inquiry == NULL) {
        scr_order_free(&question->order);
        return NULL;
    }
    inquiry->question = question;
    inquiry->transfer.on_done = on_done;
    inquiry->transfer.user = desk;
    df_buf_init(&inquiry->answer, ANSWER_MAX_BYTES);
    inquiry->transfer.easy = curl_easy_init();
    if (asprintf(&url, "%s/rest/v1/stream_sessions?id=eq.%s&select=id", desk->base_url,
                 question->session) < 0)
        url = NULL;
    /* The caller's token in both places: with a stronger key beside it a server might look at that.
     */
    is_ready = url != NULL && inquiry->transfer.easy != NULL &&
               add_header(&inquiry->headers, "Authorization: Bearer ", question->jwt) &&
               add_header(&inquiry->headers, "apikey: ", question->jwt) &&
               add_header(&inquiry->headers, "Accept: application/json", "") &&
               set_options(inquiry, url);
    free(url);
    if (!is_ready) {
        free_inquiry(inquiry);
        return NULL;
    }
    return inquiry;
}

static void start_waiting(struct scr_owner_desk *desk)
{
    while (desk->active_count < PARALLEL_MAX && desk->waiting.first != NULL) {
        struct scr_question_order *question =
            (struct scr_question_order *)scr_order_take(&desk->waiting);
        uint64_t token = question->token;
        desk->waiting_count--;
        struct inquiry *inquiry = prepare(desk, question);
        if (inquiry == NULL ||
            curl_multi_add_handle(desk->multi, inquiry->transfer.easy) != CURLM_OK) {
            free_inquiry(inquiry);
            desk->on_answer(desk->user, token, false, 0);
            continue;
        }
        inquiry->next = desk->active;
        if (desk->active != NULL)
            desk->active->prev = inquiry;
        desk->active = inquiry;
        desk->active_count++;
    }
}

/* A JWT as it may stand in a header. */
static bool is_token(const char *jwt)
{
    static const char alphabet[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    return jwt != NULL && jwt[0] != '\0' && strspn(jwt, alphabet) == strlen(jwt);
}

void scr_owner_ask(struct scr_owner_desk *desk, struct scr_question_order *question)
{
    struct df_uuid id;

    /* Only a UUID goes into the query; any other session has no row there. */
    if (desk->base_url == NULL || !is_token(question->jwt) || desk->waiting_count >= WAITING_MAX ||
        !df_uuid_parse(&id, question->session, strlen(question->session))) {
        desk->on_answer(desk->user, question->token, false, 0);
        scr_order_free(&question->order);
        return;
    }
    df_uuid_format(question->session, &id);
    scr_order_append(&desk->waiting, &question->order);
    desk->waiting_count++;
    start_waiting(desk);
}
