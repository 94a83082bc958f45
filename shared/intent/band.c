/* shared/intent/band.c - where between buyer and chatter the local verdict is least sure. */
#include "shared/intent/weights.h"

#define CUT_BIN ((size_t)(DF_CUT_CONFIDENCE * DF_BAND_BINS + 0.5)) /* the first one above it */

/* Wrong verdicts to expect among the lines of a bin: by their chance, which is smoother than
 * counting the errors of a few lines. */
static double errors_in(const struct df_weights *w, size_t bin)
{
    double chance = df_weights_chance(((double)bin + 0.5) / DF_BAND_BINS, (double)w->cut);
    return w->held_out[bin] * (bin < CUT_BIN ? chance : 1 - chance);
}

void df_weights_band(const struct df_weights *w, double share, double *low, double *high)
{
    double lines = 0, errors = 0, best = 0, room = 0;
    size_t to = CUT_BIN;

    *low = *high = DF_CUT_CONFIDENCE;
    if (!(share > 0)) /* NaN too */
        return;
    if (share >= 1) {
        *low = 0;
        *high = 2;
        return;
    }
    for (size_t b = 0; b < DF_BAND_BINS; b++)
        room += w->held_out[b];
    room *= share;
    /* From the cut upward as far as the room goes; then the window slides down. */
    for (; to < DF_BAND_BINS && lines + w->held_out[to] <= room; to++) {
        lines += w->held_out[to];
        errors += errors_in(w, to);
    }
    for (size_t from = CUT_BIN;; from--) {
        while (lines > room && to > CUT_BIN) {
            to--;
            lines -= w->held_out[to];
            errors -= errors_in(w, to);
        }
        if (lines > room)
            break;
        if (errors > best) {
            best = errors;
            *low = (double)from / DF_BAND_BINS;
            *high = to == DF_BAND_BINS ? 2 : (double)to / DF_BAND_BINS;
        }
        if (from == 0)
            break;
        lines += w->held_out[from - 1];
        errors += errors_in(w, from - 1);
    }
}
