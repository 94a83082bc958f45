/* tests/fuzz/fuzz_scr_tab_foreign.c - addresses of frames and base64 of pictures. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/tab_foreign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct scr_address_policy strict = {.allowed_hosts = ""};
    const struct scr_address_policy lax = {.allowed_hosts = "", .allow_private = true};
    char *text = malloc(size + 1);
    size_t len;

    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (scr_frame_may_load(text, &strict) && !scr_frame_may_load(text, &lax))
        abort(); /* allowing more must not allow less */
    free(text);
    unsigned char *bytes = scr_base64_decode((const char *)data, size, &len);
    if (bytes != NULL && len > size)
        abort();
    free(bytes);
    return 0;
}
