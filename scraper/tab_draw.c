/* scraper/tab_draw.c - pictures of pages, also of those that are not drawn.
 *
 * A page under begin-frame control draws only when told to: its sockets go on, but animation frames
 * and resize observers stand still. Chromium 156 has one source of such frames for all its pages: a
 * second one while the first is under way crashes its graphics process, and one that is asked for
 * while another page loads may never end. So nothing is drawn this way regularly (a page that must
 * be seen is opened anew, drawn), and a picture waits for a turn among the navigations. */
#include <stdlib.h>
#include <string.h>

#include "scraper/tab_foreign.h"
#include "scraper/tab_internal.h"
#include "shared/clock.h"

#define SHOT_TURN_MS     20000 /* how long a turn is waited for */
#define SHOT_DEADLINE_MS 5000  /* and then the picture */
enum { TRIES = 4 };            /* the first frame lays out, the next shows; some show nothing */

static void end_turn(struct scr_tab *tab)
{
    if (tab->shot.is_in_line)
        scr_browser_navigation_done(tab->browser, &tab->shot);
    tab->shot.is_in_line = false;
}

static void finish(struct scr_tab *tab, const unsigned char *png, size_t png_len,
                   const struct df_error *err)
{
    struct scr_shot shot = tab->shot;

    if (shot.done == NULL)
        return;
    end_turn(tab);
    tab->shot.done = NULL;
    scr_timer_cancel(tab->loop, &tab->shot.deadline);
    shot.done(shot.arg, png, png_len, err);
    if (tab->should_drop_after_shot)
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

    /* A frame that never ended may still be under way: no other is asked of this page. */
    tab->shot.is_frame_pending = !tab->facts.is_drawn && err != NULL && err->code == DF_ETIMEOUT;
    if (tab->shot.done == NULL)
        return; /* too late */
    if (err != NULL) {
        fail(tab, err->code, err->msg);
        return;
    }
    if (json_string_length(data) == 0) {
        if (!tab->facts.is_drawn && ++tab->shot.tries < TRIES)
            ask(tab);
        else
            fail(tab, DF_EUPSTREAM, "the browser sent no picture");
        return;
    }
    unsigned char *png =
        scr_base64_decode(json_string_value(data), json_string_length(data), &png_len);
    if (png == NULL)
        fail(tab, DF_EUPSTREAM, "the browser's picture cannot be read");
    else
        finish(tab, png, png_len, NULL);
    free(png);
}

static void ask(struct scr_tab *tab)
{
    json_t *params = NULL;

    if (tab->facts.is_drawn) {
        scr_tab_send(tab, "Page.captureScreenshot", json_pack("{s:s}", "format", "png"),
                     SHOT_DEADLINE_MS, on_picture);
        return;
    }
    tab->shot.is_frame_pending = true;
    tab->rows_count_from_ms = df_clock_mono_ms() + SCR_LATE_ROWS_MS;
    if (tab->shot.tries > 0)
        params = json_pack("{s:{s:s}}", "screenshot", "format", "png");
    scr_tab_send(tab, "HeadlessExperimental.beginFrame", params, SCR_FRAME_DEADLINE_MS, on_picture);
}

static void on_deadline(void *arg)
{
    fail(arg, DF_ETIMEOUT, "the page was not drawn in time");
}

static void start(struct scr_tab *tab)
{
    scr_timer_set(tab->loop, &tab->shot.deadline, SHOT_DEADLINE_MS);
    ask(tab);
}

static void on_shot_turn(void *arg)
{
    struct scr_shot *shot = arg;
    start(shot->tab);
}

void scr_tab_screenshot(struct scr_tab *tab, scr_tab_png_fn *done, void *arg)
{
    struct df_error err = {0};

    if (tab->shot.done != NULL)
        (void)df_error_set(&err, DF_EBUSY, "screenshot: one is being taken already");
    else if (tab->phase != SCR_PHASE_PAGE)
        (void)df_error_set(&err, DF_EUNAVAILABLE, "screenshot: no page is open now");
    else if (tab->shot.is_frame_pending)
        (void)df_error_set(&err, DF_EUNAVAILABLE, "screenshot: the page cannot be drawn now");
    if (err.code != DF_OK) {
        done(arg, NULL, 0, &err);
        return;
    }
    tab->shot.done = done;
    tab->shot.arg = arg;
    tab->shot.tries = 0;
    if (tab->facts.is_drawn) {
        start(tab);
        return;
    }
    tab->shot.is_in_line = true;
    scr_timer_set(tab->loop, &tab->shot.deadline, SHOT_TURN_MS);
    scr_browser_navigation_turn(tab->browser, on_shot_turn, &tab->shot);
}

/* --- life ------------------------------------------------------------------------------------ */

void scr_draw_init(struct scr_tab *tab)
{
    tab->shot.tab = tab;
    tab->shot.deadline = (struct scr_timer){.on_due = on_deadline, .arg = tab};
}

void scr_draw_stop(struct scr_tab *tab, const char *reason)
{
    tab->should_drop_after_shot = false; /* the page goes now */
    fail(tab, DF_EUNAVAILABLE, reason);
    tab->shot.is_frame_pending = false;
}
