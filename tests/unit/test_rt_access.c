/* tests/unit/test_rt_access.c - who a token or key acts as, and the words of a refusal. */
#include "realtime/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <jose/b64.h>
#include <jose/jws.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cmocka.h>

#include "tests/unit/jwt_keys.h"

enum { NOW = 1000 };

static size_t encode(char *out, size_t out_size, const void *bytes, size_t len)
{
    size_t n = jose_b64_enc_buf(bytes, len, out, out_size);
    assert_true(n < out_size);
    out[n] = '\0';
    return n;
}

static const char *sign_as(const char *header, const char *payload, const char *secret)
{
    static char token[9000];
    unsigned char mac[32];
    unsigned mac_len = sizeof mac;

    size_t used = encode(token, sizeof token, header, strlen(header));
    token[used++] = '.';
    used += encode(token + used, sizeof token - used, payload, strlen(payload));
    assert_non_null(HMAC(EVP_sha256(), secret, (int)strlen(secret), (unsigned char *)token, used,
                         mac, &mac_len));
    token[used++] = '.';
    (void)encode(token + used, sizeof token - used, mac, sizeof mac);
    return token;
}

static const char *sign(const char *payload, const char *secret)
{
    return sign_as("{\"alg\":\"HS256\"}", payload, secret);
}

static const char *sign_with_key(const char *key_text, const char *alg, const char *payload)
{
    static char token[3000];
    json_t *key = json_loads(key_text, 0, NULL);
    json_t *jws = json_object();
    json_t *protected =
        json_pack("{s:{s:s,s:O}}", "protected", "alg", alg, "kid", json_object_get(key, "kid"));

    assert_non_null(key);
    char *encoded = malloc(4096);
    assert_non_null(encoded);
    (void)encode(encoded, 4096, payload, strlen(payload));
    assert_int_equal(json_object_set_new(jws, "payload", json_string(encoded)), 0);
    assert_true(jose_jws_sig(NULL, jws, protected, key));
    (void)snprintf(token, sizeof token, "%s.%s.%s",
                   json_string_value(json_object_get(jws, "protected")), encoded,
                   json_string_value(json_object_get(jws, "signature")));
    free(encoded);
    json_decref(protected);
    json_decref(jws);
    json_decref(key);
    return token;
}

static struct rt_access *access_of(const char *api_keys, const char *jwks_file)
{
    struct rt_config config = {.jwt_secret = (char *)JWT_SECRET,
                               .api_keys = (char *)api_keys,
                               .jwks_file = (char *)jwks_file};
    struct rt_access *access;
    struct df_error err = {0};

    if (rt_access_new(&access, &config, &err) != DF_OK)
        fail_msg("%s", err.msg);
    return access;
}

static void tells_callers_apart_in_supabases_words(void **state)
{
    struct rt_access *access = access_of("sb_publishable_x=anon,sb_secret_=x=secret", NULL);
    static char long_token[9000];
    memset(long_token, 'a', sizeof long_token - 1);
    /* clang-format off */
    const struct { const char *token, *payload, *role, *json, *reason, *http; } rows[] = {
        {"sb_publishable_x", NULL, "anon", "{\"role\":\"anon\"}", NULL, NULL},
        {"sb_secret_=x", NULL, "service_role", "{\"role\":\"service_role\"}", NULL, NULL},
        {"sb_publishable_y", NULL, NULL, NULL, "MalformedJWT: The token provided is not a valid JWT", "The token provided is not a valid JWT"},
        {"", NULL, NULL, NULL, "MalformedJWT: The token provided is not a valid JWT", "The token provided is not a valid JWT"},
        {"a.b.c", NULL, NULL, NULL, "MalformedJWT: The token provided is not a valid JWT", "The token provided is not a valid JWT"},
        {long_token, NULL, NULL, NULL, "MalformedJWT: The token provided is not a valid JWT", "The token provided is not a valid JWT"},
        {NULL, "{\"role\":\"authenticated\",\"exp\":1001,\"sub\":\"u1\",\"iat\":1,\"jti\":\"j\",\"nbf\":0,\"b\":1,\"a\":{\"d\":1,\"c\":2}}",
         "authenticated", "{\"a\":{\"c\":2,\"d\":1},\"b\":1,\"role\":\"authenticated\",\"sub\":\"u1\"}", NULL, NULL},
        {NULL, "{\"role\":\"moderator\",\"exp\":1000.5}", "moderator", "{\"role\":\"moderator\"}", NULL, NULL},
        {NULL, "{\"role\":\"anon\",\"exp\":1000}", NULL, NULL, "InvalidJWTToken: Token has expired 0 seconds ago", "Token has expired"},
        {NULL, "{\"role\":\"anon\",\"exp\":900}", NULL, NULL, "InvalidJWTToken: Token has expired 100 seconds ago", "Token has expired"},
        {NULL, "{\"role\":\"anon\"}", NULL, NULL, "InvalidJWTToken: Fields `role` and `exp` are required in JWT", "Fields `role` and `exp` are required in JWT"},
        {NULL, "{\"exp\":1001}", NULL, NULL, "InvalidJWTToken: Fields `role` and `exp` are required in JWT", "Fields `role` and `exp` are required in JWT"},
        {NULL, "{\"role\":\"\",\"exp\":1001}", NULL, NULL, "InvalidJWTToken: Fields `role` and `exp` are required in JWT", "Fields `role` and `exp` are required in JWT"},
        {NULL, "{\"role\":\"anon\",\"exp\":2000,\"nbf\":1500}", NULL, NULL, "InvalidJWTToken: Token is not valid yet", "Token is not valid yet"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *token =
            rows[i].payload == NULL ? rows[i].token : sign(rows[i].payload, JWT_SECRET);
        for (int again = 0; again < 2; again++) { /* the second signature may be a remembered one */
            struct rt_claims claims;
            char reason[200] = "";
            bool ok =
                rt_access_check(access, token, strlen(token), NOW, &claims, reason, sizeof reason);
            if (ok != (rows[i].reason == NULL))
                fail_msg("row %zu: \"%s\"", i, reason);
            if (ok) {
                assert_string_equal(claims.role, rows[i].role);
                assert_string_equal(claims.json, rows[i].json);
                assert_true(rows[i].payload != NULL || claims.expires_at_s == INT64_MAX);
                assert_true(rows[i].payload == NULL || claims.expires_at_s == NOW + 1);
            } else {
                assert_string_equal(reason, rows[i].reason);
                assert_string_equal(rt_access_http_text(reason), rows[i].http);
                assert_null(claims.json);
            }
            rt_claims_release(&claims);
        }
    }
    rt_access_free(access);
    rt_access_free(NULL);
}

static void expect_refused(struct rt_access *access, const char *token, const char *why)
{
    struct rt_claims claims;
    char reason[200] = "";

    assert_false(
        rt_access_check(access, token, strlen(token), NOW, &claims, reason, sizeof reason));
    if (strncmp(reason, why, strlen(why)) != 0)
        fail_msg("\"%s\" instead of \"%s\"", reason, why);
    assert_null(claims.json);
}

static void takes_no_foreign_signature(void **state)
{
    struct rt_access *access = access_of(NULL, NULL);
    static const char good[] = "{\"role\":\"service_role\",\"exp\":2000}";
    static const char bad_signature[] = "JwtSignatureError: Failed to validate JWT signature";
    static const char no_signer[] = "JwtSignerError: Failed to generate JWT signer";

    (void)state;
    expect_refused(access, sign(good, "another secret of 32 characters.."), bad_signature);
    /* An expired one with a wrong signature is not told that it is only late. */
    expect_refused(access,
                   sign("{\"role\":\"anon\",\"exp\":1}", "another secret of 32 characters.."),
                   bad_signature);
    expect_refused(access, sign_as("{\"alg\":\"none\"}", good, JWT_SECRET), no_signer);
    expect_refused(access, sign_as("{\"alg\":\"HS512\"}", good, JWT_SECRET), no_signer);
    expect_refused(access, sign_with_key(KEY_EC, "ES256", good), bad_signature);
    rt_access_free(access);
}

static void takes_asymmetric_keys_of_the_file(void **state)
{
    char path[] = "/tmp/df-rt-jwks-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    static const char payload[] = "{\"role\":\"authenticated\",\"sub\":\"u2\",\"exp\":2000}";
    struct rt_claims claims;
    char reason[200];

    (void)state;
    assert_non_null(file);
    (void)fprintf(file, "{\"keys\":[%s,%s]}", KEY_EC, KEY_RSA);
    assert_int_equal(fclose(file), 0);
    struct rt_access *access = access_of(NULL, path);
    const char *const tokens[] = {strdup(sign_with_key(KEY_EC, "ES256", payload)),
                                  strdup(sign_with_key(KEY_RSA, "RS256", payload))};
    for (size_t i = 0; i < 2; i++) {
        if (!rt_access_check(access, tokens[i], strlen(tokens[i]), NOW, &claims, reason,
                             sizeof reason))
            fail_msg("key %zu: %s", i, reason);
        assert_string_equal(claims.sub, "u2");
        rt_claims_release(&claims);
        free((void *)tokens[i]);
    }
    expect_refused(access, sign_with_key(KEY_EC_OTHER, "ES256", payload), "JwtSignatureError");
    rt_access_free(access);
    (void)unlink(path);
}

static void white_space_in_a_token_does_no_harm(void **state)
{
    struct rt_access *access = access_of("sb_publishable_x=anon", NULL);
    const char *token = sign("{\"role\":\"anon\",\"exp\":2000}", JWT_SECRET);
    char spaced[2000];
    struct rt_claims claims;
    char reason[200];

    (void)state;
    (void)snprintf(spaced, sizeof spaced, " %.20s\r\n%s\t", token, token + 20);
    assert_true(
        rt_access_check(access, spaced, strlen(spaced), NOW, &claims, reason, sizeof reason));
    rt_claims_release(&claims);
    assert_true(
        rt_access_check(access, "sb_publishable_x\n", 17, NOW, &claims, reason, sizeof reason));
    rt_claims_release(&claims);
    assert_false(
        rt_access_check(access, "sb_publishable_x\0", 17, NOW, &claims, reason, sizeof reason));
    rt_access_free(access);
}

static void equal_people_have_equal_claims(void **state)
{
    struct rt_access *access = access_of(NULL, NULL);
    struct rt_claims first, second;
    char reason[200];
    const char *token =
        sign("{\"sub\":\"u\",\"role\":\"authenticated\",\"exp\":2000,\"iat\":5}", JWT_SECRET);

    (void)state;
    assert_true(rt_access_check(access, token, strlen(token), NOW, &first, reason, sizeof reason));
    token =
        sign("{\"iat\":6, \"exp\":3000, \"role\":\"authenticated\", \"sub\":\"u\"}", JWT_SECRET);
    assert_true(rt_access_check(access, token, strlen(token), NOW, &second, reason, sizeof reason));
    assert_string_equal(first.json, second.json);
    rt_claims_release(&first);
    rt_claims_release(&second);
    rt_access_free(access);
}

static void names_the_setting_that_is_wrong(void **state)
{
    /* clang-format off */
    static const struct { const char *api_keys, *jwks_file, *why; } rows[] = {
        {"short=anon", NULL, "API_KEYS: entry 1"},
        {"sb_publishable_x=anon,sb_secret_x=owner", NULL, "API_KEYS: entry 2"},
        {"sb_publishable_x", NULL, "API_KEYS: entry 1"},
        {NULL, "/nowhere/jwks.json", "JWKS_FILE /nowhere/jwks.json: No such file"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rt_config config = {.api_keys = (char *)rows[i].api_keys,
                                   .jwks_file = (char *)rows[i].jwks_file};
        struct rt_access *access;
        struct df_error err = {0};
        assert_int_equal(rt_access_new(&access, &config, &err), DF_EINPUT);
        assert_null(access);
        if (strstr(err.msg, rows[i].why) == NULL)
            fail_msg("row %zu: \"%s\"", i, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_callers_apart_in_supabases_words),
        cmocka_unit_test(takes_no_foreign_signature),
        cmocka_unit_test(takes_asymmetric_keys_of_the_file),
        cmocka_unit_test(white_space_in_a_token_does_no_harm),
        cmocka_unit_test(equal_people_have_equal_claims),
        cmocka_unit_test(names_the_setting_that_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
