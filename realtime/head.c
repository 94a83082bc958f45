/* realtime/head.c - request line, header lines, query, routes. */
#include "realtime/head.h"

#include <string.h>
#include <strings.h>

static const char *const header_names[RT_HEADER_COUNT] = {
    [RT_HEADER_APIKEY] = "apikey",
    [RT_HEADER_AUTHORIZATION] = "authorization",
    [RT_HEADER_CONTENT_LENGTH] = "content-length",
    [RT_HEADER_CONTENT_TYPE] = "content-type",
    [RT_HEADER_EXPECT] = "expect",
    [RT_HEADER_TRANSFER_ENCODING] = "transfer-encoding",
    [RT_HEADER_UPGRADE] = "upgrade",
    [RT_HEADER_WEBSOCKET_KEY] = "sec-websocket-key",
    [RT_HEADER_WEBSOCKET_VERSION] = "sec-websocket-version",
    [RT_HEADER_X_API_KEY] = "x-api-key",
};

/* --- slices -------------------------------------------------------------------------------------
 */

bool rt_slice_is(struct rt_slice slice, const char *text)
{
    return slice.text != NULL && strlen(text) == slice.len &&
           strncasecmp(slice.text, text, slice.len) == 0;
}

int64_t rt_slice_number(struct rt_slice slice)
{
    int64_t number = 0;

    if (slice.len == 0 || slice.len > 15)
        return -1;
    for (size_t i = 0; i < slice.len; i++) {
        if (slice.text[i] < '0' || slice.text[i] > '9')
            return -1;
        number = number * 10 + (slice.text[i] - '0');
    }
    return number;
}

static struct rt_slice trim(const char *begin, const char *end)
{
    while (begin < end && (*begin == ' ' || *begin == '\t'))
        begin++;
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct rt_slice){begin, (size_t)(end - begin)};
}

/* --- the head -----------------------------------------------------------------------------------
 */

size_t rt_head_end(const char *bytes, size_t len)
{
    for (const char *at = bytes, *end = bytes + len; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL)
            break;
        at = newline + 1;
        if (at < end && *at == '\n')
            return (size_t)(at - bytes) + 1;
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
            return (size_t)(at - bytes) + 2;
    }
    return 0;
}

static bool has_control(struct rt_slice slice)
{
    for (size_t i = 0; i < slice.len; i++) {
        unsigned char c = (unsigned char)slice.text[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

static enum rt_method method_of(const char *word, size_t len)
{
    static const struct {
        const char *word;
        enum rt_method method;
    } methods[] = {{"GET", RT_METHOD_GET},
                   {"HEAD", RT_METHOD_HEAD},
                   {"POST", RT_METHOD_POST},
                   {"OPTIONS", RT_METHOD_OPTIONS}};

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strlen(methods[i].word) == len && memcmp(methods[i].word, word, len) == 0)
            return methods[i].method;
    return RT_METHOD_OTHER;
}

static bool parse_request_line(struct rt_head *out, const char *line, const char *end)
{
    const char *target = memchr(line, ' ', (size_t)(end - line));
    const char *version =
        target == NULL ? NULL : memchr(target + 1, ' ', (size_t)(end - target - 1));

    if (version == NULL || target == line || end - version != 9 ||
        memcmp(version, " HTTP/1.", 8) != 0 || (version[8] != '1' && version[8] != '0'))
        return false;
    out->method = method_of(line, (size_t)(target - line));
    target++;
    const char *question = memchr(target, '?', (size_t)(version - target));
    const char *path_end = question == NULL ? version : question;
    out->path = (struct rt_slice){target, (size_t)(path_end - target)};
    if (question != NULL)
        out->query = (struct rt_slice){question + 1, (size_t)(version - question - 1)};
    return path_end > target && target[0] == '/';
}

static bool parse_header(struct rt_head *out, const char *line, const char *end)
{
    const char *colon = memchr(line, ':', (size_t)(end - line));

    if (colon == NULL || colon == line || colon[-1] == ' ' || colon[-1] == '\t' || line[0] == ' ' ||
        line[0] == '\t')
        return false;
    const struct rt_slice name = {line, (size_t)(colon - line)};
    const struct rt_slice value = trim(colon + 1, end);
    if (has_control(name) || has_control(value))
        return false;
    for (int i = 0; i < RT_HEADER_COUNT; i++) {
        if (!rt_slice_is(name, header_names[i]))
            continue;
        if (out->header[i].text == NULL)
            out->header[i] = value;
        else if (i == RT_HEADER_CONTENT_LENGTH)
            return false; /* where does the body end? */
    }
    return true;
}

enum df_code rt_head_parse(struct rt_head *out, const char *bytes, size_t len, struct df_error *err)
{
    bool is_first = true;

    memset(out, 0, sizeof *out);
    for (const char *line = bytes, *stop = bytes + len; line < stop;) {
        const char *newline = memchr(line, '\n', (size_t)(stop - line));
        const char *end = newline == NULL ? stop : newline;
        const char *next = end + 1;
        if (end > line && end[-1] == '\r')
            end--;
        if (!is_first && end == line)
            break;
        if (is_first && (has_control((struct rt_slice){line, (size_t)(end - line)}) ||
                         !parse_request_line(out, line, end)))
            return df_error_set(err, DF_EINPUT, "bad request line");
        if (!is_first && !parse_header(out, line, end))
            return df_error_set(err, DF_EINPUT, "bad header line");
        is_first = false;
        line = next;
    }
    return is_first ? df_error_set(err, DF_EINPUT, "no request line") : DF_OK;
}

/* --- encoded text -------------------------------------------------------------------------------
 */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes percent encoding. -1: it does not fit, a bad escape, or a NUL. */
static int decode(struct rt_slice in, bool plus_is_blank, char *out, size_t out_size)
{
    size_t len = 0;

    for (size_t i = 0; i < in.len; i++) {
        char c = in.text[i];
        if (c == '+' && plus_is_blank) {
            c = ' ';
        } else if (c == '%') {
            if (i + 2 >= in.len)
                return -1;
            int high = hex_of(in.text[i + 1]), low = hex_of(in.text[i + 2]);
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0' || len + 1 >= out_size)
            return -1;
        out[len++] = c;
    }
    out[len] = '\0';
    return (int)len;
}

int rt_query_get(struct rt_slice query, const char *name, char *out, size_t out_size)
{
    size_t name_len = strlen(name);

    if (query.text == NULL)
        return -1;
    for (const char *at = query.text, *end = query.text + query.len; at <= end;) {
        const char *amp = at == end ? NULL : memchr(at, '&', (size_t)(end - at));
        const char *stop = amp == NULL ? end : amp;
        if ((size_t)(stop - at) > name_len && at[name_len] == '=' &&
            memcmp(at, name, name_len) == 0) {
            const char *value = at + name_len + 1;
            return decode((struct rt_slice){value, (size_t)(stop - value)}, true, out, out_size);
        }
        at = stop + 1;
    }
    return -1;
}

size_t rt_head_token(const struct rt_head *head, bool with_authorization, char *out,
                     size_t out_size)
{
    static const char bearer[] = "Bearer ";
    struct rt_slice token = {NULL, 0}, header = head->header[RT_HEADER_AUTHORIZATION];

    if (with_authorization && header.len > sizeof bearer - 1 &&
        strncasecmp(header.text, bearer, sizeof bearer - 1) == 0)
        token = trim(header.text + sizeof bearer - 1, header.text + header.len);
    if (token.len == 0)
        token = head->header[RT_HEADER_X_API_KEY];
    if (token.len == 0)
        token = head->header[RT_HEADER_APIKEY];
    if (token.len == 0) {
        int len = rt_query_get(head->query, "apikey", out, out_size);
        return len < 0 ? 0 : (size_t)len;
    }
    size_t len = token.len < out_size ? token.len : out_size - 1;
    memcpy(out, token.text, len);
    out[len] = '\0';
    return len;
}

/* --- routes -------------------------------------------------------------------------------------
 */

/* Texts that go into JSON frames: UTF-8 without control bytes. */
static bool is_clean(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0';) {
        int more = *c < 0x80                 ? 0
                   : *c >= 0xc2 && *c < 0xe0 ? 1
                   : *c >= 0xe0 && *c < 0xf0 ? 2
                   : *c >= 0xf0 && *c < 0xf5 ? 3
                                             : -1;
        unsigned long value = more <= 0 ? *c : *c & (0x3fu >> more);
        if (more < 0 || *c < 0x20 || *c == 0x7f)
            return false;
        c++;
        for (int i = 0; i < more; i++, c++) {
            if ((*c & 0xc0) != 0x80)
                return false;
            value = value << 6 | (*c & 0x3f);
        }
        if ((more == 2 && (value < 0x800 || (value >= 0xd800 && value < 0xe000))) ||
            (more == 3 && (value < 0x10000 || value > 0x10ffff)))
            return false;
    }
    return true;
}

static bool take_name(char *out, struct rt_slice text)
{
    return decode(text, false, out, RT_HEAD_NAME_MAX + 1) > 0 && is_clean(out);
}

/* What follows "/api/broadcast/": topic/events/event. */
static bool take_broadcast(struct rt_target *out, struct rt_slice rest)
{
    static const char middle[] = "events/";
    const char *slash = memchr(rest.text, '/', rest.len);
    const char *end = rest.text + rest.len;

    if (slash == NULL || (size_t)(end - slash - 1) < sizeof middle - 1 ||
        memcmp(slash + 1, middle, sizeof middle - 1) != 0)
        return false;
    const char *event = slash + sizeof middle;
    if (memchr(event, '/', (size_t)(end - event)) != NULL)
        return false;
    return take_name(out->topic, (struct rt_slice){rest.text, (size_t)(slash - rest.text)}) &&
           take_name(out->event, (struct rt_slice){event, (size_t)(end - event)});
}

static bool skip(struct rt_slice *slice, const char *prefix)
{
    size_t len = strlen(prefix);

    if (slice->len < len || memcmp(slice->text, prefix, len) != 0)
        return false;
    slice->text += len;
    slice->len -= len;
    return true;
}

void rt_target_parse(struct rt_target *out, struct rt_slice path)
{
    static const struct {
        const char *path;
        enum rt_route route;
    } routes[] = {{"websocket", RT_ROUTE_SOCKET},    {"socket/websocket", RT_ROUTE_SOCKET},
                  {"api/broadcast", RT_ROUTE_BATCH}, {"healthz", RT_ROUTE_HEALTH},
                  {"readyz", RT_ROUTE_READY},        {"metrics", RT_ROUTE_METRICS}};

    memset(out, 0, sizeof *out);
    if (!skip(&path, "/realtime/v1/") && !skip(&path, "/"))
        return;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (strlen(routes[i].path) == path.len && memcmp(routes[i].path, path.text, path.len) == 0)
            out->route = routes[i].route;
    if (out->route == RT_ROUTE_NONE && skip(&path, "api/broadcast/") && take_broadcast(out, path))
        out->route = RT_ROUTE_BROADCAST;
}
