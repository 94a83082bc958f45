/* tests/fuzz/fuzz_jwt.c - no bytes without a signature are a token. The first byte chooses: the
 * rest is a token (accepted only when header and payload are those of a token we know), or the
 * rest is "header NUL payload" which we sign with the secret, to get behind the signature; or a JWK
 * set. */
#include "shared/jwt.h"
#include "tests/unit/jwt_keys.h"

#include <jose/b64.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

#define NOW_S 1800000000
static const char set[] = "{\"keys\":[" KEY_EC "," KEY_RSA "," KEY_OCT "]}";

/* {"alg":"HS256","typ":"JWT"} {"role":"anon","exp":2000000000}, as in the corpus */
static const char known[] =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjAwMDAwMDAwMH0.";

static enum df_jwt_result verify(const char *token, size_t token_len)
{
    static struct df_jwt_keys *keys;
    struct df_claims claims;
    char message[100];

    if (keys == NULL)
        MUST(df_jwt_keys_new(&keys, JWT_SECRET, set, sizeof set - 1, NULL) == DF_OK);
    enum df_jwt_result result = df_jwt_verify(keys, token, token_len, NOW_S, 0, &claims);
    MUST(strlen(claims.algorithm) < sizeof claims.algorithm);
    if (result == DF_JWT_OK) {
        MUST(claims.expires_at_s > NOW_S && claims.starts_at_s <= NOW_S);
        MUST(strlen(claims.role) < sizeof claims.role && strlen(claims.sub) < sizeof claims.sub);
    } else {
        MUST(df_jwt_refusal_code(result)[0] != '\0');
        df_jwt_refusal_message(message, sizeof message, result, &claims);
        for (const char *p = message; *p != '\0'; p++)
            MUST(*p >= 0x20 && *p < 0x7f);
    }
    return result;
}

static void sign_and_verify(const uint8_t *data, size_t size)
{
    const uint8_t *nul = memchr(data, 0, size);
    char token[8192];
    unsigned char mac[32];
    unsigned mac_len = sizeof mac;

    if (nul == NULL || size > 4096)
        return;
    size_t header_len = (size_t)(nul - data), payload_len = size - header_len - 1;
    size_t used = jose_b64_enc_buf(data, header_len, token, 6000);
    token[used++] = '.';
    used += jose_b64_enc_buf(nul + 1, payload_len, token + used, sizeof token - used);
    MUST(HMAC(EVP_sha256(), JWT_SECRET, (int)strlen(JWT_SECRET), (unsigned char *)token, used, mac,
              &mac_len) != NULL);
    token[used++] = '.';
    used += jose_b64_enc_buf(mac, sizeof mac, token + used, sizeof token - used);
    (void)verify(token, used);
}

static void read_set(const uint8_t *data, size_t size)
{
    struct df_jwt_keys *keys;
    struct df_claims claims;

    if (df_jwt_keys_new(&keys, NULL, (const char *)data, size, NULL) != DF_OK) {
        MUST(keys == NULL);
        return;
    }
    (void)df_jwt_verify(keys, known, sizeof known - 1, NOW_S, 0, &claims);
    df_jwt_keys_free(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0] % 3) {
    case 0:
        if (verify((const char *)data + 1, size - 1) == DF_JWT_OK)
            MUST(size > sizeof known && memcmp(data + 1, known, sizeof known - 1) == 0);
        break;
    case 1:
        sign_and_verify(data + 1, size - 1);
        break;
    default:
        read_set(data + 1, size - 1);
    }
    return 0;
}
