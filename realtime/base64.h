/* realtime/base64.h - bytes as text (RFC 4648, section 4, with padding). Pure. */
#ifndef REALTIME_BASE64_H
#define REALTIME_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"

bool rt_base64_append(struct df_buf *out, const uint8_t *bytes, size_t len); /* false: no room */
/* False: not what rt_base64_append writes, or no room. */
bool rt_base64_decode(struct df_buf *out, const char *text, size_t len);

#endif
