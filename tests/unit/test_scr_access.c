/* tests/unit/test_scr_access.c - which tokens open the API, and for whom. */
#include "scraper/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jose/b64.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cmocka.h>

#include "shared/clock.h"
#include "tests/unit/jwt_keys.h"

#define SERVICE_KEY "a-service-key-of-some-length"

static size_t encode(char *out, size_t out_size, const void *bytes, size_t len)
{
    size_t n = jose_b64_enc_buf(bytes, len, out, out_size);
    assert_true(n < out_size);
    out[n] = '\0';
    return n;
}

static const char *sign(const char *payload, const char *secret)
{
    static const char header[] = "{\"alg\":\"HS256\"}";
    static char token[2048];
    unsigned char mac[32];
    unsigned mac_len = sizeof mac;

    size_t used = encode(token, sizeof token, header, sizeof header - 1);
    token[used++] = '.';
    used += encode(token + used, sizeof token - used, payload, strlen(payload));
    assert_non_null(HMAC(EVP_sha256(), secret, (int)strlen(secret), (unsigned char *)token, used,
                         mac, &mac_len));
    token[used++] = '.';
    (void)encode(token + used, sizeof token - used, mac, sizeof mac);
    return token;
}

static struct scr_access *access_of(const struct scr_config *config)
{
    struct scr_access *access;
    struct df_error err = {0};

    if (scr_access_new(&access, config, &err) != DF_OK)
        fail_msg("%s", err.msg);
    return access;
}

static struct scr_config all_kinds(void)
{
    return (struct scr_config){.api_auth = SCR_AUTH_REQUIRED,
                               .service_key = (char *)SERVICE_KEY,
                               .api_keys = (char *)"sb_publishable_x=anon,sb_secret_=x=secret",
                               .jwt_secret = (char *)JWT_SECRET};
}

static void tells_callers_apart(void **state)
{
    struct scr_config config = all_kinds();
    struct scr_access *access = access_of(&config);
    char sub_too_long[400], expires[200];
    int64_t now_s = df_clock_wall_ms() / 1000;

    (void)state;
    (void)snprintf(sub_too_long, sizeof sub_too_long,
                   "{\"role\":\"authenticated\",\"sub\":\"%0200d\"}", 1);
    (void)snprintf(expires, sizeof expires,
                   "{\"role\":\"authenticated\",\"sub\":\"u1\",\"exp\":%lld}",
                   (long long)now_s + 100);
    /* clang-format off */
    const struct { const char *token, *payload, *secret; enum scr_caller_kind want; const char *why; } rows[] = {
        {SERVICE_KEY, NULL, NULL, SCR_CALLER_SERVICE, NULL},
        {"sb_secret_=x", NULL, NULL, SCR_CALLER_SERVICE, NULL},
        {"sb_publishable_x", NULL, NULL, SCR_CALLER_NOBODY, "opens nothing here"},
        {"a-service-key-of-some-lengt", NULL, NULL, SCR_CALLER_NOBODY, "Invalid JWT"},
        {"a-service-key-of-some-length2", NULL, NULL, SCR_CALLER_NOBODY, "Invalid JWT"},
        {"A-service-key-of-some-length", NULL, NULL, SCR_CALLER_NOBODY, "Invalid JWT"},
        {"", NULL, NULL, SCR_CALLER_NOBODY, "missing"},
        {NULL, NULL, NULL, SCR_CALLER_NOBODY, "missing"},
        {NULL, "{\"role\":\"service_role\"}", JWT_SECRET, SCR_CALLER_SERVICE, NULL},
        {NULL, expires, JWT_SECRET, SCR_CALLER_USER, NULL},
        {NULL, "{\"sub\":\"u1\"}", JWT_SECRET, SCR_CALLER_USER, NULL},
        {NULL, "{\"role\":\"authenticated\"}", JWT_SECRET, SCR_CALLER_NOBODY, "opens nothing here"},
        {NULL, "{\"role\":\"anon\",\"sub\":\"u1\"}", JWT_SECRET, SCR_CALLER_NOBODY, "opens nothing here"},
        {NULL, "{\"sub\":\"u1\",\"exp\":1000}", JWT_SECRET, SCR_CALLER_NOBODY, "Invalid JWT"},
        {NULL, "{\"role\":\"service_role\"}", "another secret of 32 characters..", SCR_CALLER_NOBODY, "Invalid JWT"},
        {NULL, sub_too_long, JWT_SECRET, SCR_CALLER_NOBODY, ""},
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *token =
            rows[i].payload == NULL ? rows[i].token : sign(rows[i].payload, rows[i].secret);
        for (int again = 0; again < 2; again++) { /* the second answer may be a remembered one */
            struct scr_caller caller;
            struct df_error err = {0};
            enum df_code rc =
                scr_access_check(access, token, token == NULL ? 0 : strlen(token), &caller, &err);
            if (caller.kind != rows[i].want || rc != (rows[i].why == NULL ? DF_OK : DF_EAUTH))
                fail_msg("row %zu: kind %d, %s", i, caller.kind, err.msg);
            if (rows[i].why != NULL && strstr(err.msg, rows[i].why) == NULL)
                fail_msg("row %zu: \"%s\"", i, err.msg);
            if (rows[i].want != SCR_CALLER_USER)
                continue;
            assert_string_equal(caller.sub, "u1");
            assert_ptr_equal(caller.token, token);
            assert_true(caller.expires_at_s ==
                        (rows[i].payload == expires ? now_s + 100 : INT64_MAX));
        }
    }
    scr_access_free(access);
    scr_access_free(NULL);
}

static void lets_everybody_in_when_off(void **state)
{
    struct scr_config config = {.api_auth = SCR_AUTH_OFF};
    struct scr_access *access = access_of(&config);
    struct scr_caller caller;

    (void)state;
    assert_int_equal(scr_access_check(access, NULL, 0, &caller, NULL), DF_OK);
    assert_int_equal(caller.kind, SCR_CALLER_SERVICE);
    assert_true(caller.expires_at_s == INT64_MAX);
    scr_access_free(access);
}

static void names_the_setting_that_is_wrong(void **state)
{
    char path[] = "/tmp/df-jwks-XXXXXX";
    int fd = mkstemp(path);
    /* clang-format off */
    const struct { const char *api_keys, *jwks_file, *why; } rows[] = {
        {"sb_secret_1", NULL, "API_KEYS: entry 1"},
        {"sb_secret_1=service_role,short=anon", NULL, "API_KEYS: entry 2"},
        {"sb_secret_1=admin", NULL, "API_KEYS: entry 1"},
        {NULL, "/nowhere/jwks.json", "JWKS_FILE /nowhere/jwks.json"},
        {NULL, path, ""},
    };
    /* clang-format on */
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "[]", 2), 2);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct scr_config config = {.api_auth = SCR_AUTH_REQUIRED,
                                          .api_keys = (char *)rows[i].api_keys,
                                          .jwks_file = (char *)rows[i].jwks_file};
        struct scr_access *access;
        struct df_error err = {0};
        assert_int_equal(scr_access_new(&access, &config, &err), DF_EINPUT);
        assert_null(access);
        if (strstr(err.msg, rows[i].why) == NULL)
            fail_msg("row %zu: \"%s\"", i, err.msg);
    }
    (void)close(fd);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_callers_apart),
        cmocka_unit_test(lets_everybody_in_when_off),
        cmocka_unit_test(names_the_setting_that_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
