/* scraper/tab_draw.c - frames on demand for undrawn pages, and pictures. A page under begin-frame
 * control draws only when told to: its sockets go on, but animation frames and resize observers
 * stand still, and lists that are drawn with them show nothing. */
#include <stdlib.h>
#include <string.h>

#include "scraper/tab_internal.h"
#include "shared/clock.h"

#define PUMP_MS 250
enum { PNG_TRIES = 4 }; /* the first frames after a pause may still be without content */

/* --- frames on demand ------------------------------------------------------------------------ */

/* While frames of the socket are read, nobody looks at the page. */
static bool wants_frames(const struct scr_tab *tab)
{
    return tab->phase == SCR_PHASE_PAGE && !tab->facts.is_drawn &&
           (tab->facts.source != SCR_SOURCE_FRAMES || tab->is_check_open);
}

static void on_pumped(void *arg, const json_t *result, const struct df_error *err)
{
    struct scr_tab *tab = arg;

    (void)result;
    (void)err; /* a page that does not answer is the heartbeat's business */
    tab->is_frame_pending = false;
}

static void on_pump(void *arg)
{
    struct scr_tab *tab = arg;

    if (!wants_frames(tab))
        return;
    scr_timer_set(tab->loop, &tab->pump, PUMP_MS);
    if (tab->is_frame_pending || tab->on_png != NULL)
        return;
    tab->is_frame_pending = true;
    scr_tab_send(tab, "HeadlessExperimental.beginFrame", NULL, SCR_CDP_DEADLINE_MS, on_pumped);
}

void scr_draw_adjust(struct scr_tab *tab)
{
    if (wants_frames(tab) && !scr_timer_is_set(&tab->pump))
        scr_timer_set(tab->loop, &tab->pump, 0);
}

/* --- pictures -------------------------------------------------------------------------------- */

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* Base64 as the protocol sends it: no line breaks, padded. NULL: something else, or no memory. */
static unsigned char *decode(const char *text, size_t text_len, size_t *out_len)
{
    unsigned char *out = malloc(text_len / 4 * 3 + 3);
    uint32_t bits = 0;
    unsigned held = 0;

    *out_len = 0;
    while (text_len > 0 && text[text_len - 1] == '=')
        text_len--;
    for (size_t i = 0; out != NULL && i < text_len; i++) {
        int value = sextet(text[i]);
        if (value < 0) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[(*out_len)++] = (unsigned char)(bits >> held);
        }
    }
    return out;
}

static void finish(struct scr_tab *tab, const unsigned char *png, size_t png_len,
                   const struct df_error *err)
{
    scr_tab_png_fn *done = tab->on_png;
    void *arg = tab->png_arg;

    if (done == NULL)
        return;
    tab->on_png = NULL;
    scr_timer_cancel(tab->loop, &tab->png_deadline);
    done(arg, png, png_len, err);
    if (tab->should_drop_after_png)
        scr_tab_drop_page(tab);
}

static void fail(struct scr_tab *tab, enum df_code code, const char *why)
{
    struct df_error err = {0};

    (void)df_error_set(&err, code, "screenshot: %s", why);
    finish(tab, NULL, 0, &err);
}

static void ask(struct scr_tab *tab);

static void on_picture(void *arg, const json_t *result, const struct df_error *err)
{
    struct scr_tab *tab = arg;
    const char *key = tab->facts.is_drawn ? "data" : "screenshotData";
    const json_t *data = json_object_get(result, key);
    size_t png_len = 0;

    tab->is_frame_pending = false;
    if (tab->on_png == NULL)
        return; /* too late */
    if (err != NULL) {
        fail(tab, err->code, err->msg);
        return;
    }
    if (json_string_length(data) == 0) {
        if (!tab->facts.is_drawn && ++tab->png_tries < PNG_TRIES)
            ask(tab);
        else
            fail(tab, DF_EUPSTREAM, "the browser sent no picture");
        return;
    }
    unsigned char *png = decode(json_string_value(data), json_string_length(data), &png_len);
    if (png == NULL)
        fail(tab, DF_EUPSTREAM, "the browser's picture cannot be read");
    else
        finish(tab, png, png_len, NULL);
    free(png);
}

static void ask(struct scr_tab *tab)
{
    if (tab->facts.is_drawn) {
        scr_tab_send(tab, "Page.captureScreenshot", json_pack("{s:s}", "format", "png"),
                     SCR_SHOT_DEADLINE_MS, on_picture);
        return;
    }
    tab->is_frame_pending = true;
    /* One frame lets the page lay out what came while it stood still, the next shows it. */
    json_t *params =
        tab->png_tries == 0 ? NULL : json_pack("{s:{s:s}}", "screenshot", "format", "png");
    scr_tab_send(tab, "HeadlessExperimental.beginFrame", params, SCR_SHOT_DEADLINE_MS, on_picture);
}

static void on_png_deadline(void *arg)
{
    fail(arg, DF_ETIMEOUT, "the page was not drawn in time");
}

void scr_tab_screenshot(struct scr_tab *tab, scr_tab_png_fn *done, void *arg)
{
    struct df_error err = {0};

    if (tab->on_png != NULL)
        (void)df_error_set(&err, DF_EBUSY, "screenshot: one is being taken already");
    else if (tab->phase != SCR_PHASE_PAGE)
        (void)df_error_set(&err, DF_EUNAVAILABLE, "screenshot: no page is open now");
    if (err.code != DF_OK) {
        done(arg, NULL, 0, &err);
        return;
    }
    tab->on_png = done;
    tab->png_arg = arg;
    tab->png_tries = 0;
    scr_timer_set(tab->loop, &tab->png_deadline, SCR_SHOT_DEADLINE_MS);
    ask(tab);
}

/* --- life ------------------------------------------------------------------------------------ */

void scr_draw_init(struct scr_tab *tab)
{
    tab->pump = (struct scr_timer){.on_due = on_pump, .arg = tab};
    tab->png_deadline = (struct scr_timer){.on_due = on_png_deadline, .arg = tab};
}

void scr_draw_stop(struct scr_tab *tab, const char *reason)
{
    tab->should_drop_after_png = false; /* the page goes now */
    fail(tab, DF_EUNAVAILABLE, reason);
    scr_timer_cancel(tab->loop, &tab->pump);
    tab->is_frame_pending = false;
}
