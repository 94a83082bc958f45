/* fcgi/gateway_settings.c - checks what came from the environment before libcurl sees it. */
#include "fcgi/gateway_settings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#define ENDPOINT "/chat/completions"
#define MODEL_NAME_MAX (sizeof((struct mrs_gateway_answer *)0)->model - 1)

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Puts the endpoint behind the path (a query, as Azure wants one, stays where it is). */
static char *endpoint_path(const char *path)
{
    size_t len = strlen(path);
    char *out = NULL;

    while (len > 0 && path[len - 1] == '/')
        len--;
    if (asprintf(&out, "%.*s", (int)len, path) < 0)
        return NULL;
    if (ends_with(out, ENDPOINT)) /* the whole address was given: fine too */
        return out;
    char *longer = NULL;
    if (asprintf(&longer, "%s%s", out, ENDPOINT) < 0)
        longer = NULL;
    free(out);
    return longer;
}

static enum df_code make_url(struct mrs_settings *settings, const char *base_url,
                             struct df_error *err)
{
    enum df_code rc = DF_EINPUT;
    char *scheme = NULL, *path = NULL, *full = NULL, *url = NULL;
    CURLU *parts = curl_url();

    if (parts == NULL)
        return df_error_set(err, DF_ENOMEM, "AI_BASE_URL: out of memory");
    if (base_url == NULL || curl_url_set(parts, CURLUPART_URL, base_url, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        (void)df_error_set(err, rc, "AI_BASE_URL: not an http or https address");
        goto out;
    }
    rc = DF_ENOMEM;
    if (curl_url_get(parts, CURLUPART_PATH, &path, 0) != CURLUE_OK ||
        (full = endpoint_path(path)) == NULL ||
        curl_url_set(parts, CURLUPART_PATH, full, 0) != CURLUE_OK ||
        curl_url_get(parts, CURLUPART_URL, &url, 0) != CURLUE_OK ||
        (settings->url = strdup(url)) == NULL) {
        (void)df_error_set(err, rc, "AI_BASE_URL: out of memory");
        goto out;
    }
    rc = DF_OK;
out:
    curl_free(url);
    free(full);
    curl_free(path);
    curl_free(scheme);
    curl_url_cleanup(parts);
    return rc;
}

static char *trimmed(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    return text;
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    }
    return false;
}

static enum df_code split_models(struct mrs_settings *settings, const char *models,
                                 struct df_error *err)
{
    char *rest = NULL;

    settings->model_text = strdup(models == NULL ? "" : models);
    if (settings->model_text == NULL)
        return df_error_set(err, DF_ENOMEM, "AI_MODEL: out of memory");
    for (char *name = strtok_r(settings->model_text, ",", &rest); name != NULL;
         name = strtok_r(NULL, ",", &rest)) {
        name = trimmed(name);
        if (name[0] == '\0')
            continue;
        if (strlen(name) > MODEL_NAME_MAX || has_control(name))
            return df_error_set(err, DF_EINPUT, "AI_MODEL: a name over %zu bytes, or not printable",
                                MODEL_NAME_MAX);
        if (settings->model_count == MRS_MODELS_MAX)
            return df_error_set(err, DF_EINPUT, "AI_MODEL: over %d names", MRS_MODELS_MAX);
        settings->models[settings->model_count++] = name;
    }
    if (settings->model_count == 0)
        return df_error_set(err, DF_EINPUT, "AI_MODEL: no model named");
    return DF_OK;
}

static enum df_code add_header(struct mrs_settings *settings, const char *header,
                               struct df_error *err)
{
    struct curl_slist *longer = curl_slist_append(settings->headers, header);
    if (longer == NULL)
        return df_error_set(err, DF_ENOMEM, "AI headers: out of memory");
    settings->headers = longer;
    return DF_OK;
}

static enum df_code add_key(struct mrs_settings *settings, const char *api_key,
                            struct df_error *err)
{
    char *header = NULL;
    char *key = strdup(api_key == NULL ? "" : api_key);
    enum df_code rc = DF_OK;

    if (key == NULL)
        return df_error_set(err, DF_ENOMEM, "AI_API_KEY: out of memory");
    char *word = trimmed(key); /* a key read from a file often ends with a line break */
    if (has_control(word))
        rc = df_error_set(err, DF_EINPUT, "AI_API_KEY: holds control characters");
    else if (word[0] != '\0' && asprintf(&header, "Authorization: Bearer %s", word) < 0)
        rc = df_error_set(err, DF_ENOMEM, "AI_API_KEY: out of memory");
    else if (word[0] != '\0')
        rc = add_header(settings, header, err);
    if (rc == DF_OK && header != NULL)
        explicit_bzero(header, strlen(header));
    free(header);
    explicit_bzero(word, strlen(word));
    free(key);
    return rc;
}

static bool is_header(const char *text)
{
    const char *colon = strchr(text, ':');
    if (colon == NULL || colon == text || has_control(text))
        return false;
    for (const char *c = text; c < colon; c++) {
        if (!isalnum((unsigned char)*c) && strchr("!#$%&'*+-.^_`~", *c) == NULL)
            return false;
    }
    return colon[1 + strspn(colon + 1, " ")] != '\0'; /* "Name:" would make curl drop a header */
}

static enum df_code add_extra_headers(struct mrs_settings *settings, const char *extra,
                                      struct df_error *err)
{
    enum df_code rc = DF_OK;
    char *rest = NULL;
    char *copy = strdup(extra == NULL ? "" : extra);

    if (copy == NULL)
        return df_error_set(err, DF_ENOMEM, "AI_EXTRA_HEADERS: out of memory");
    for (char *line = strtok_r(copy, "\n|", &rest); line != NULL && rc == DF_OK;
         line = strtok_r(NULL, "\n|", &rest)) {
        line = trimmed(line);
        if (line[0] == '\0')
            continue;
        rc = is_header(line) ? add_header(settings, line, err)
                             : df_error_set(err, DF_EINPUT, "AI_EXTRA_HEADERS: not \"Name: value\"");
    }
    free(copy);
    return rc;
}

void mrs_settings_drop(struct mrs_settings *settings)
{
    if (settings == NULL || --settings->refs > 0)
        return;
    for (struct curl_slist *h = settings->headers; h != NULL; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(settings->headers);
    free(settings->model_text);
    free(settings->url);
    free(settings);
}

enum df_code mrs_settings_new(struct mrs_settings **out, const struct mrs_gateway_options *options,
                              struct df_error *err)
{
    enum df_code rc;
    struct mrs_settings *made = calloc(1, sizeof *made);

    *out = NULL;
    if (made == NULL)
        return df_error_set(err, DF_ENOMEM, "gateway options: out of memory");
    made->refs = 1;
    made->mode = options->mode;
    made->timeout_ms = options->timeout_ms;
    made->connect_timeout_ms = options->connect_timeout_ms;
    made->in_flight_max = options->in_flight_max;
    made->batch_ms = options->batch_ms;
    made->batch_max = options->batch_max;
    made->budget = options->budget;
    made->use_breaker = options->use_breaker;
    made->retry_billed = options->retry_billed;
    made->send_temperature = options->send_temperature;
    made->send_max_tokens = options->send_max_tokens;
    rc = DF_EINPUT;
    if (options->timeout_ms < 1 || options->connect_timeout_ms < 1 || options->in_flight_max < 1 ||
        options->in_flight_max > 100000) {
        (void)df_error_set(err, rc, "gateway options: a timeout or limit is out of range");
        goto out;
    }
    if (options->batch_ms < 0 || options->batch_ms >= options->timeout_ms ||
        (options->batch_ms > 0 &&
         (options->batch_max < 1 || options->batch_max > MRS_BATCH_LINES_MAX))) {
        (void)df_error_set(err, rc,
                           "AI_BATCH_MS must be below AI_TIMEOUT_MS, AI_BATCH_MAX within 1 to %d",
                           MRS_BATCH_LINES_MAX);
        goto out;
    }
    if (options->budget.unit == MRS_BUDGET_CENTS &&
        !(options->budget.price_in > 0 && options->budget.price_out > 0)) {
        (void)df_error_set(err, rc, "a budget in cents needs AI_PRICE_IN and AI_PRICE_OUT");
        goto out;
    }
    rc = make_url(made, options->base_url, err);
    if (rc == DF_OK)
        rc = split_models(made, options->models, err);
    if (rc == DF_OK)
        rc = add_header(made, "Content-Type: application/json", err);
    if (rc == DF_OK)
        rc = add_header(made, "Accept: application/json", err);
    if (rc == DF_OK)
        rc = add_header(made, "Expect:", err); /* never wait for 100 Continue */
    if (rc == DF_OK)
        rc = add_key(made, options->api_key, err);
    if (rc == DF_OK)
        rc = add_extra_headers(made, options->extra_headers, err);
out:
    if (rc == DF_OK)
        *out = made;
    else
        mrs_settings_drop(made);
    return rc;
}
