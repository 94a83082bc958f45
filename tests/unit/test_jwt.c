/* tests/unit/test_jwt.c - whose token is taken. Tokens are signed here with libjose. */
#include "shared/jwt.h"

#include "tests/unit/failing_alloc.h"
#include "tests/unit/jwt_keys.h"

#include <jansson.h>
#include <jose/b64.h>
#include <jose/jws.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW_S 1800000000
#define SET   "{\"keys\":[" KEY_EC "," KEY_RSA "]}"

static struct df_jwt_keys *keys_of(const char *secret, const char *set)
{
    struct df_jwt_keys *keys;
    struct df_error err;

    if (df_jwt_keys_new(&keys, secret, set, set != NULL ? strlen(set) : 0, &err) != DF_OK)
        fail_msg("%s", err.msg);
    return keys;
}

/* "header.payload.signature", signed with a JWK; the caller frees it. */
static char *sign(const char *header, const char *payload, const char *jwk_text)
{
    json_t *jwk = json_loads(jwk_text, 0, NULL);
    json_t *jws = json_pack("{s:o}", "payload", jose_b64_enc(payload, strlen(payload)));
    json_t *sig = json_pack("{s:o}", "protected", jose_b64_enc(header, strlen(header)));
    char *token = NULL;

    assert_non_null(jwk);
    (void)json_object_del(jwk, "alg"); /* the header decides, also against the key's own word */
    if (!jose_jws_sig(NULL, jws, sig, jwk))
        fail_msg("cannot sign %s", header);
    size_t size = strlen(payload) * 2 + strlen(header) * 2 + 2000;
    token = malloc(size);
    assert_non_null(token);
    (void)snprintf(token, size, "%s.%s.%s", json_string_value(json_object_get(jws, "protected")),
                   json_string_value(json_object_get(jws, "payload")),
                   json_string_value(json_object_get(jws, "signature")));
    json_decref(sig);
    json_decref(jws);
    json_decref(jwk);
    return token;
}

/* The JWK of a secret text. */
static char *jwk_of(const char *secret)
{
    json_t *jwk = json_pack("{s:s,s:o}", "kty", "oct", "k", jose_b64_enc(secret, strlen(secret)));
    char *text = json_dumps(jwk, 0);

    assert_non_null(text);
    json_decref(jwk);
    return text;
}

static char *sign_hs256(const char *header, const char *payload)
{
    char *jwk = jwk_of(JWT_SECRET);
    char *token = sign(header, payload, jwk);

    free(jwk);
    return token;
}

static enum df_jwt_result verify(const struct df_jwt_keys *keys, char *token, int64_t leeway_s,
                                 struct df_claims *claims)
{
    enum df_jwt_result result = df_jwt_verify(keys, token, strlen(token), NOW_S, leeway_s, claims);

    free(token);
    return result;
}

static void splits_the_header(void **state)
{
    /* clang-format off */
    static const struct { const char *header; enum df_jwt_result want; } rows[] = {
        {NULL, DF_JWT_NO_HEADER}, {"", DF_JWT_NO_HEADER}, {"Bearer a.b.c", DF_JWT_OK},
        {"Bearer sb_publishable_x", DF_JWT_OK}, {"bearer a.b.c", DF_JWT_BAD_HEADER},
        {"BEARER a.b.c", DF_JWT_BAD_HEADER}, {"Basic dTpw", DF_JWT_BAD_HEADER},
        {"a.b.c", DF_JWT_BAD_HEADER}, {"Bearer\ta.b.c", DF_JWT_BAD_HEADER},
        {"Bearer  a.b.c", DF_JWT_BAD_HEADER}, {"Bearer a.b.c x", DF_JWT_BAD_HEADER},
        {"Bearer", DF_JWT_BAD_HEADER}, {"Bearer ", DF_JWT_BAD_HEADER}, {" Bearer x", DF_JWT_BAD_HEADER},
        {"Bearer a\tb", DF_JWT_BAD_HEADER}, {"Bearer a ", DF_JWT_BAD_HEADER}, {"Bearera", DF_JWT_BAD_HEADER},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *token;
        size_t token_len;
        if (df_jwt_from_header(rows[i].header, &token, &token_len) != rows[i].want)
            fail_msg("row %zu: %s", i, rows[i].header);
        if (rows[i].want == DF_JWT_OK) {
            assert_ptr_equal(token, rows[i].header + 7);
            assert_int_equal(token_len, strlen(rows[i].header) - 7);
        }
    }
}

static void takes_good_tokens_of_three_algorithms(void **state)
{
    /* clang-format off */
    static const struct { const char *header, *jwk; } rows[] = {
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", NULL}, {"{\"alg\":\"HS256\",\"kid\":\"of-the-issuer\"}", NULL},
        {"{\"alg\":\"ES256\",\"kid\":\"ec-1\"}", KEY_EC}, {"{\"alg\":\"ES256\"}", KEY_EC},
        {"{\"alg\":\"RS256\",\"kid\":\"rsa-1\"}", KEY_RSA}, {"{\"typ\":\"JWT\",\"alg\":\"RS256\"}", KEY_RSA},
    };
    /* clang-format on */
    static const char payload[] =
        "{\"role\":\"authenticated\",\"sub\":\"aaaaaaaa-aaaa-4aaa-8aaa-"
        "aaaaaaaaaaaa\",\"exp\":1800000100,\"nbf\":1799999999,\"aud\":\"x\"}";
    struct df_jwt_keys *keys = keys_of(JWT_SECRET, SET);
    struct df_claims claims;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *token = rows[i].jwk != NULL ? sign(rows[i].header, payload, rows[i].jwk)
                                          : sign_hs256(rows[i].header, payload);
        if (verify(keys, token, 0, &claims) != DF_JWT_OK)
            fail_msg("refused %s", rows[i].header);
        assert_string_equal(claims.role, "authenticated");
        assert_string_equal(claims.sub, "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa");
        assert_int_equal(claims.expires_at_s, 1800000100);
        assert_int_equal(claims.starts_at_s, 1799999999);
        assert_memory_equal(claims.algorithm,
                            rows[i].jwk == NULL            ? "HS256"
                            : strstr(rows[i].header, "RS") ? "RS256"
                                                           : "ES256",
                            6);
    }
    df_jwt_keys_free(keys);
}

static void judges_times_and_nothing_else(void **state)
{
    /* clang-format off */
    static const struct { const char *payload; int64_t leeway_s; bool good; } rows[] = {
        {"{}", 0, true}, {"{\"role\":\"anon\"}", 0, true}, {"{\"iat\":1800000600}", 0, true},
        {"{\"exp\":1800000001}", 0, true}, {"{\"exp\":1800000000}", 0, false},
        {"{\"exp\":1799999999}", 0, false}, {"{\"exp\":1800000000.5}", 0, true},
        {"{\"exp\":1799999999.5}", 0, false}, {"{\"exp\":\"1900000000\"}", 0, false},
        {"{\"exp\":null}", 0, false}, {"{\"exp\":true}", 0, false}, {"{\"exp\":[1900000000]}", 0, false},
        {"{\"exp\":1e300}", 0, true}, {"{\"exp\":-1e300}", 0, false}, {"{\"exp\":1e999}", 0, true},
        {"{\"exp\":0}", 0, false}, {"{\"exp\":-1}", 0, false},
        {"{\"exp\":99999999999999999999}", 0, true},
        {"{\"nbf\":1800000000}", 0, true}, {"{\"nbf\":1800000001}", 0, false},
        {"{\"nbf\":1800000000.5}", 0, false}, {"{\"nbf\":1799999999.5}", 0, true},
        {"{\"nbf\":\"x\"}", 0, false}, {"{\"nbf\":null}", 0, false}, {"{\"nbf\":-1e300}", 0, true},
        {"{\"exp\":1799999991}", 10, true}, {"{\"exp\":1799999990}", 10, false},
        {"{\"nbf\":1800000010}", 10, true}, {"{\"nbf\":1800000011}", 10, false},
        {"{\"role\":5,\"sub\":null,\"aud\":[],\"iat\":\"x\",\"iss\":{}}", 0, true},
        {"[]", 0, false}, {"5", 0, false}, {"not json", 0, false}, {"", 0, false},
        {"{\"exp\":1900000000,\"exp\":1}", 0, false}, /* the last of duplicate keys counts */
    };
    /* clang-format on */
    struct df_jwt_keys *keys = keys_of(JWT_SECRET, NULL);
    struct df_claims claims;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *token = sign_hs256("{\"alg\":\"HS256\"}", rows[i].payload);
        enum df_jwt_result result = verify(keys, token, rows[i].leeway_s, &claims);
        if (result != (rows[i].good ? DF_JWT_OK : DF_JWT_BAD_LEGACY))
            fail_msg("%s gave %d", rows[i].payload, (int)result);
    }
    char *token = sign_hs256("{\"alg\":\"HS256\"}", "{}");
    assert_int_equal(verify(keys, token, 0, &claims), DF_JWT_OK);
    assert_true(claims.expires_at_s == INT64_MAX && claims.starts_at_s == INT64_MIN);
    assert_string_equal(claims.role, "");
    assert_string_equal(claims.sub, "");
    df_jwt_keys_free(keys);
}

static void refuses_claims_that_do_not_fit(void **state)
{
    struct df_jwt_keys *keys = keys_of(JWT_SECRET, NULL);
    struct df_claims claims;
    char payload[300];

    (void)state;
    for (int len = 62; len <= 65; len++) {
        (void)snprintf(payload, sizeof payload, "{\"role\":\"%0*d\"}", len, 0);
        assert_int_equal(verify(keys, sign_hs256("{\"alg\":\"HS256\"}", payload), 0, &claims),
                         len <= 63 ? DF_JWT_OK : DF_JWT_BAD_LEGACY);
        (void)snprintf(payload, sizeof payload, "{\"sub\":\"%0*d\"}", len + 64, 0);
        assert_int_equal(verify(keys, sign_hs256("{\"alg\":\"HS256\"}", payload), 0, &claims),
                         len <= 63 ? DF_JWT_OK : DF_JWT_BAD_LEGACY);
    }
    df_jwt_keys_free(keys);
}

static void refuses_what_has_not_the_form_of_a_token(void **state)
{
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "...",
                                      "a.b.c",
                                      "abc",
                                      "a.b",
                                      "e30.e30",
                                      "e30.e30.e30.x",
                                      "W10.e30.e30",
                                      "eyJhbGciOiJIUzI1NiJ9=.e30.e30",
                                      "eyJhbGciOiJIUzI1NiJ9.e3+.e30",
                                      "eyJhbGciOiJIUzI1NiJ9.e3/0.e30",
                                      "eyJhbGciOiJIUzI1NiJ9. e30.e30",
                                      "eyJhbGciOiJIUzI1NiJ9.e30.x",
                                      ".e30.e30",
                                      "bm90IGpzb24.e30.e30"};
    struct df_jwt_keys *keys = keys_of(JWT_SECRET, SET);
    struct df_claims claims;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (df_jwt_verify(keys, bad[i], strlen(bad[i]), NOW_S, 0, &claims) != DF_JWT_BAD_FORMAT)
            fail_msg("%s", bad[i]);
    }
    char *good = sign_hs256("{\"alg\":\"HS256\"}", "{}");
    char four[600], huge[9000];
    (void)snprintf(four, sizeof four, "%s.x", good);
    assert_int_equal(df_jwt_verify(keys, four, strlen(four), NOW_S, 0, &claims), DF_JWT_BAD_FORMAT);
    assert_int_equal(df_jwt_verify(keys, good, strlen(good) - 44, NOW_S, 0, &claims),
                     DF_JWT_BAD_FORMAT);
    free(good);
    memset(huge, 'A', sizeof huge);
    huge[100] = huge[200] = '.';
    assert_int_equal(df_jwt_verify(keys, huge, sizeof huge, NOW_S, 0, &claims), DF_JWT_BAD_FORMAT);
    /* a header that nests too deeply never reaches libjose, which would recurse */
    char *deep = malloc(4096);
    assert_non_null(deep);
    memset(deep, '[', 3000);
    size_t used = jose_b64_enc_buf(deep, 3000, huge, sizeof huge);
    memcpy(huge + used, ".e30.e30", 8);
    free(deep);
    assert_int_equal(df_jwt_verify(keys, huge, used + 8, NOW_S, 0, &claims), DF_JWT_BAD_FORMAT);
    df_jwt_keys_free(keys);
}

static void names_algorithms_it_does_not_take(void **state)
{
    /* clang-format off */
    static const struct { const char *header, *name; } rows[] = {
        {"{\"alg\":\"none\"}", "none"}, {"{\"alg\":\"None\"}", "None"}, {"{\"alg\":\"HS512\"}", "HS512"},
        {"{\"alg\":\"PS256\"}", "PS256"}, {"{\"alg\":\"EdDSA\"}", "EdDSA"}, {"{\"alg\":\"ES384\"}", "ES384"},
        {"{\"alg\":\"hs256\"}", "hs256"}, {"{\"alg\":\"HS256 \"}", "HS256 "}, {"{\"alg\":\"\"}", ""},
        {"{}", "undefined"}, {"{\"alg\":5}", "undefined"}, {"{\"alg\":null}", "undefined"},
        {"{\"alg\":[\"HS256\"]}", "undefined"}, {"{\"alg\":\"HS256\\u0000\"}", "HS256???"},
        {"{\"alg\":\"a\\n\\u00e9b\"}", "a???b"}, {"{\"alg\":\"0123456789abcdefgh\"}", "0123456789abcde"},
        {"{\"alg\":\"HS256\",\"alg\":\"none\"}", "none"},
    };
    /* clang-format on */
    struct df_jwt_keys *keys = keys_of(JWT_SECRET, SET);
    struct df_claims claims;
    char message[100], want[100], token[200];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int with_signature = 0; with_signature <= 1; with_signature++) {
            size_t used =
                jose_b64_enc_buf(rows[i].header, strlen(rows[i].header), token, sizeof token);
            (void)strcpy(token + used, with_signature ? ".e30.e30" : ".e30.");
            assert_int_equal(df_jwt_verify(keys, token, strlen(token), NOW_S, 0, &claims),
                             DF_JWT_BAD_ALGORITHM);
            assert_string_equal(claims.algorithm, rows[i].name);
            df_jwt_refusal_message(message, sizeof message, DF_JWT_BAD_ALGORITHM, &claims);
            (void)snprintf(want, sizeof want, "Unsupported JWT algorithm %s", rows[i].name);
            assert_string_equal(message, want);
        }
    }
    df_jwt_keys_free(keys);
}

static void refuses_wrong_signatures(void **state)
{
    struct df_jwt_keys *keys = keys_of(JWT_SECRET, SET);
    struct df_claims claims;
    char *other = jwk_of("another secret that is long enough too");
    static const char hs[] = "{\"alg\":\"HS256\"}";

    (void)state;
    assert_int_equal(verify(keys, sign(hs, "{}", other), 0, &claims), DF_JWT_BAD_LEGACY);
    assert_int_equal(
        verify(keys, sign("{\"alg\":\"ES256\",\"kid\":\"ec-1\"}", "{}", KEY_EC_OTHER), 0, &claims),
        DF_JWT_BAD_ASYMMETRIC);
    /* an unknown kid, or another key's kid, even with a signature that is good */
    assert_int_equal(
        verify(keys, sign("{\"alg\":\"ES256\",\"kid\":\"ec-2\"}", "{}", KEY_EC), 0, &claims),
        DF_JWT_BAD_ASYMMETRIC);
    assert_int_equal(
        verify(keys, sign("{\"alg\":\"ES256\",\"kid\":\"rsa-1\"}", "{}", KEY_EC), 0, &claims),
        DF_JWT_BAD_ASYMMETRIC);
    assert_int_equal(verify(keys,
                            sign("{\"alg\":\"ES256\",\"kid\":\"ec-1\"}", "{\"exp\":1}", KEY_EC), 0,
                            &claims),
                     DF_JWT_BAD_ASYMMETRIC);
    /* an extension called critical */
    assert_int_equal(
        verify(keys, sign_hs256("{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", "{}"), 0,
               &claims),
        DF_JWT_BAD_LEGACY);
    /* each single character of a good token changed */
    char *good = sign_hs256(hs, "{\"role\":\"anon\"}");
    for (size_t i = 0; i < strlen(good) - 1; i++) { /* the last holds two bits that mean nothing */
        char *token = strdup(good);
        assert_non_null(token);
        token[i] = token[i] == 'A' ? 'B' : 'A';
        if (good[i] != '.' && verify(keys, token, 0, &claims) == DF_JWT_OK)
            fail_msg("taken with byte %zu changed", i);
        if (good[i] == '.')
            free(token);
    }
    /* signature missing, short, long */
    char text[400];
    (void)snprintf(text, sizeof text, "%s", good);
    *strrchr(text, '.') = '\0';
    size_t signed_len = strlen(text);
    (void)strcpy(text + signed_len, ".");
    assert_int_equal(df_jwt_verify(keys, text, strlen(text), NOW_S, 0, &claims), DF_JWT_BAD_LEGACY);
    assert_int_equal(df_jwt_verify(keys, good, strlen(good) - 3, NOW_S, 0, &claims),
                     DF_JWT_BAD_LEGACY);
    (void)snprintf(text, sizeof text, "%sAAAA", good);
    assert_int_not_equal(df_jwt_verify(keys, text, strlen(text), NOW_S, 0, &claims), DF_JWT_OK);
    free(good);
    free(other);
    df_jwt_keys_free(keys);
}

static void never_uses_a_key_with_another_algorithm(void **state)
{
    struct df_jwt_keys *keys = keys_of(NULL, SET);
    struct df_claims claims;
    json_t *rsa = json_loads(KEY_RSA, 0, NULL);
    const char *modulus = json_string_value(json_object_get(rsa, "n"));
    char jwk[2000];

    (void)state;
    /* The classic: HS256 with the RSA key's public text as secret, with and without its kid. */
    (void)snprintf(jwk, sizeof jwk, "{\"kty\":\"oct\",\"k\":\"%s\"}", modulus);
    assert_int_equal(
        verify(keys, sign("{\"alg\":\"HS256\",\"kid\":\"rsa-1\"}", "{}", jwk), 0, &claims),
        DF_JWT_BAD_LEGACY);
    assert_int_equal(verify(keys, sign("{\"alg\":\"HS256\"}", "{}", jwk), 0, &claims),
                     DF_JWT_BAD_LEGACY);
    char *as_text = jwk_of(modulus);
    assert_int_equal(
        verify(keys, sign("{\"alg\":\"HS256\",\"kid\":\"rsa-1\"}", "{}", as_text), 0, &claims),
        DF_JWT_BAD_LEGACY);
    free(as_text);
    /* RS256 with the kid of the EC key and the other way round; PS256 by the RSA key. */
    assert_int_equal(
        verify(keys, sign("{\"alg\":\"RS256\",\"kid\":\"ec-1\"}", "{}", KEY_RSA), 0, &claims),
        DF_JWT_BAD_ASYMMETRIC);
    assert_int_equal(
        verify(keys, sign("{\"alg\":\"PS256\",\"kid\":\"rsa-1\"}", "{}", KEY_RSA), 0, &claims),
        DF_JWT_BAD_ALGORITHM);
    json_decref(rsa);
    df_jwt_keys_free(keys);

    keys = keys_of(JWT_SECRET, NULL); /* no asymmetric key at all */
    assert_int_equal(verify(keys, sign("{\"alg\":\"ES256\"}", "{}", KEY_EC), 0, &claims),
                     DF_JWT_BAD_ASYMMETRIC);
    df_jwt_keys_free(keys);
    keys = keys_of(NULL, NULL); /* no key at all */
    assert_int_equal(verify(keys, sign_hs256("{\"alg\":\"HS256\"}", "{}"), 0, &claims),
                     DF_JWT_BAD_LEGACY);
    df_jwt_keys_free(keys);
}

static void chooses_by_kid_or_the_only_one(void **state)
{
    static const char kid[] = "{\"alg\":\"HS256\",\"kid\":\"oct-1\"}",
                      no_kid[] = "{\"alg\":\"HS256\"}";
    struct df_claims claims;
    struct df_jwt_keys *keys = keys_of(JWT_SECRET, "{\"keys\":[" KEY_OCT "]}");

    (void)state;
    assert_int_equal(verify(keys, sign(kid, "{}", KEY_OCT), 0, &claims), DF_JWT_OK);
    assert_int_equal(verify(keys, sign_hs256(kid, "{}"), 0, &claims), DF_JWT_BAD_LEGACY);
    assert_int_equal(verify(keys, sign_hs256(no_kid, "{}"), 0, &claims), DF_JWT_OK);
    df_jwt_keys_free(keys);

    keys = keys_of(NULL, "{\"keys\":[" KEY_OCT "]}");
    assert_int_equal(verify(keys, sign(no_kid, "{}", KEY_OCT), 0, &claims), DF_JWT_OK);
    df_jwt_keys_free(keys);

    /* two EC keys: without kid nobody guesses */
    static const char second[] =
        "{\"keys\":[" KEY_EC ",{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"ec-2\","
        "\"x\":\"J4pzhat\",\"use\":\"enc\"}]}";
    keys = keys_of(NULL, second); /* the second is for encryption: ignored, even broken */
    assert_int_equal(verify(keys, sign("{\"alg\":\"ES256\"}", "{}", KEY_EC), 0, &claims),
                     DF_JWT_OK);
    df_jwt_keys_free(keys);
    keys = keys_of(NULL, "{\"keys\":[" KEY_EC "," KEY_EC_OTHER "]}");
    assert_int_equal(verify(keys, sign("{\"alg\":\"ES256\"}", "{}", KEY_EC), 0, &claims),
                     DF_JWT_BAD_ASYMMETRIC);
    df_jwt_keys_free(keys);
}

static void reads_key_sets_strictly_but_skips_other_kinds(void **state)
{
    static const char *const good[] = {
        "{\"keys\":[]}", "{\"keys\":[" KEY_EC384 "]}", "{\"keys\":[5,null,{},{\"kty\":\"OKP\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"enc\"},{\"kty\":\"RSA\",\"alg\":\"PS256\"},"
        "{\"kty\":\"RSA\",\"key_ops\":[\"encrypt\"]},{\"kty\":\"oct\",\"alg\":\"HS512\"}]}"};
    static const char *const bad[] = {
        "",
        "x",
        "[]",
        "{}",
        "{\"keys\":{}}",
        KEY_EC,
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":5}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"not/base64url+of+the+right+kind/at+all==\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[" KEY_RSA_SHORT "]}"};
    struct df_jwt_keys *keys;
    struct df_error err;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        df_jwt_keys_free(keys_of(NULL, good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        keys = (struct df_jwt_keys *)&err;
        if (df_jwt_keys_new(&keys, NULL, bad[i], strlen(bad[i]), &err) != DF_EINPUT)
            fail_msg("took %s", bad[i]);
        assert_null(keys);
        assert_memory_equal(err.msg, "JWK set: ", 9);
    }
    assert_int_equal(df_jwt_keys_new(&keys, "shorter than 32 bytes", NULL, 0, &err), DF_EINPUT);
    assert_null(strstr(err.msg, "shorter"));
    assert_int_equal(df_jwt_keys_new(&keys, "", NULL, 0, &err), DF_OK); /* as if it were not set */
    df_jwt_keys_free(keys);
    df_jwt_keys_free(NULL);
}

struct crowd {
    const struct df_jwt_keys *keys;
    char *good[3], *bad;
};

static void *verify_many(void *arg)
{
    const struct crowd *crowd = arg;
    struct df_claims claims;
    uintptr_t wrong = 0;

    for (int i = 0; i < 200; i++) {
        const char *token = crowd->good[i % 3];
        wrong += df_jwt_verify(crowd->keys, token, strlen(token), NOW_S, 0, &claims) != DF_JWT_OK;
        wrong += strcmp(claims.role, "anon") != 0;
        wrong += df_jwt_verify(crowd->keys, crowd->bad, strlen(crowd->bad), NOW_S, 0, &claims) !=
                 DF_JWT_BAD_ASYMMETRIC;
    }
    return (void *)wrong;
}

static void verifies_in_many_threads_with_the_same_keys(void **state)
{
    struct df_jwt_keys *keys = keys_of(JWT_SECRET, SET);
    struct crowd crowd = {
        .keys = keys,
        .good = {sign_hs256("{\"alg\":\"HS256\"}", "{\"role\":\"anon\"}"),
                 sign("{\"alg\":\"ES256\",\"kid\":\"ec-1\"}", "{\"role\":\"anon\"}", KEY_EC),
                 sign("{\"alg\":\"RS256\"}", "{\"role\":\"anon\"}", KEY_RSA)},
        .bad = sign("{\"alg\":\"ES256\",\"kid\":\"ec-1\"}", "{}", KEY_EC_OTHER)};
    pthread_t threads[8];
    void *wrong;

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_many, &crowd), 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    for (int i = 0; i < 3; i++)
        free(crowd.good[i]);
    free(crowd.bad);
    df_jwt_keys_free(keys);
}

static void tells_the_caller_what_the_contract_says(void **state)
{
    /* clang-format off */
    static const struct { enum df_jwt_result result; const char *code, *message; } rows[] = {
        {DF_JWT_NO_HEADER, "UNAUTHORIZED_NO_AUTH_HEADER", "Missing authorization header"},
        {DF_JWT_BAD_HEADER, "UNAUTHORIZED_INVALID_JWT_FORMAT", "Auth header is not 'Bearer {token}'"},
        {DF_JWT_BAD_FORMAT, "UNAUTHORIZED_INVALID_JWT_FORMAT", "Invalid JWT"},
        {DF_JWT_BAD_LEGACY, "UNAUTHORIZED_LEGACY_JWT", "Invalid JWT"},
        {DF_JWT_BAD_ASYMMETRIC, "UNAUTHORIZED_ASYMMETRIC_JWT", "Invalid JWT"},
        {DF_JWT_BAD_ALGORITHM, "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM", "Unsupported JWT algorithm HS512"},
    };
    /* clang-format on */
    const struct df_claims claims = {.algorithm = "HS512"};
    char message[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(df_jwt_refusal_code(rows[i].result), rows[i].code);
        df_jwt_refusal_message(message, sizeof message, rows[i].result, &claims);
        assert_string_equal(message, rows[i].message);
    }
}

/* Some allocations inside jansson and libjose do not matter to the outcome, so that a good token
 * may still pass. What must hold: no crash, no leak, and never a token that is not good. */
static void survives_any_failed_allocation(void **state)
{
    static const char set[] = "{\"keys\":[" KEY_EC "," KEY_OCT "]}";
    struct df_jwt_keys *keys = NULL;
    struct df_claims claims;
    int refused = 0;

    (void)state;
    for (int n = 0;; n++) {
        struct df_error err = {0};
        df_jwt_keys_free(keys);
        fail_alloc_after(n);
        enum df_code rc = df_jwt_keys_new(&keys, JWT_SECRET, set, sizeof set - 1, &err);
        bool failed = stop_failing();
        assert_int_equal(rc == DF_OK, keys != NULL);
        if (!failed) {
            assert_int_equal(rc, DF_OK);
            break;
        }
        refused += rc != DF_OK;
    }
    assert_true(refused > 50);
    char *other = jwk_of("another secret that is long enough too");
    const struct {
        char *token;
        bool good;
    } rows[] = {
        {sign_hs256("{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
                    "{\"role\":\"anon\",\"exp\":1800000001}"),
         true},
        {sign("{\"alg\":\"ES256\",\"kid\":\"ec-1\"}", "{\"sub\":\"x\"}", KEY_EC), true},
        {sign("{\"alg\":\"HS256\"}", "{\"role\":\"service_role\"}", other), false},
        {sign("{\"alg\":\"ES256\",\"kid\":\"ec-1\"}", "{}", KEY_EC_OTHER), false},
        {sign_hs256("{\"alg\":\"HS256\"}", "{\"role\":\"service_role\",\"exp\":1800000000}"),
         false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        refused = 0;
        for (int n = 0;; n++) {
            fail_alloc_after(n);
            enum df_jwt_result result =
                df_jwt_verify(keys, rows[i].token, strlen(rows[i].token), NOW_S, 0, &claims);
            bool failed = stop_failing();
            if (!rows[i].good)
                assert_int_not_equal(result, DF_JWT_OK);
            if (!failed) {
                assert_int_equal(result == DF_JWT_OK, rows[i].good);
                break;
            }
            refused += result != DF_JWT_OK;
        }
        assert_true(refused > 5);
        free(rows[i].token);
    }
    free(other);
    df_jwt_keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_the_header),
        cmocka_unit_test(takes_good_tokens_of_three_algorithms),
        cmocka_unit_test(judges_times_and_nothing_else),
        cmocka_unit_test(refuses_claims_that_do_not_fit),
        cmocka_unit_test(refuses_what_has_not_the_form_of_a_token),
        cmocka_unit_test(names_algorithms_it_does_not_take),
        cmocka_unit_test(refuses_wrong_signatures),
        cmocka_unit_test(never_uses_a_key_with_another_algorithm),
        cmocka_unit_test(chooses_by_kid_or_the_only_one),
        cmocka_unit_test(reads_key_sets_strictly_but_skips_other_kinds),
        cmocka_unit_test(verifies_in_many_threads_with_the_same_keys),
        cmocka_unit_test(tells_the_caller_what_the_contract_says),
        cmocka_unit_test(survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
