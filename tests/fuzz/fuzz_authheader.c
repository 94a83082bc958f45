/* tests/fuzz/fuzz_authheader.c - a header is taken only as "Bearer", one space, one word. */
#include "shared/jwt.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *token;
    size_t token_len;
    char *header = malloc(size + 1);

    MUST(header != NULL);
    memcpy(header, data, size);
    header[size] = '\0';
    enum df_jwt_result result = df_jwt_from_header(header, &token, &token_len);
    if (result == DF_JWT_OK) {
        MUST(token == header + 7 && token_len > 0 && token_len == strlen(header) - 7);
        MUST(memcmp(header, "Bearer ", 7) == 0);
        for (size_t i = 0; i < token_len; i++)
            MUST((unsigned char)token[i] > ' ' && token[i] != 0x7f);
    } else {
        MUST(token == NULL && token_len == 0);
        MUST((result == DF_JWT_NO_HEADER) == (header[0] == '\0'));
        MUST(result == DF_JWT_NO_HEADER || result == DF_JWT_BAD_HEADER);
    }
    free(header);
    return 0;
}
