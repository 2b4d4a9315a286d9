/* Templates against the signal: where a spike's peak is, which unit explains it best, and taking that unit off the signal.
 * Of the library only sorter.c and fitting.c include this; classifiers/fitting.py is the same text in Python. */
#ifndef BS_FITTING_H
#define BS_FITTING_H

#include "bitspike/sorter.h"

#define SHIFT 2         /* frames by which a template may be moved to fit */
#define LOCATE 3        /* frames by which the peak may move when neighbours are subtracted */
#define ROW (BS_MAX_TEMPLATE_FRAMES + 2 * SHIFT)
#define LAST (BS_MAX_HELD_FRAMES - 1)

typedef struct {        /* a unit where it fits best, and its scale, Q12; unit -1 if none does, scale 0 if it is not to be subtracted */
    int32_t unit;
    int32_t shift;
    int32_t scale;
} bs_fit;

/* The signal of a channel. */
BS_INLINE int32_t bs_value_at(const bs_sorter_state *state, int32_t frame, int32_t channel)
{
    return state->ring[(uint32_t)frame & LAST][channel];
}

/* sum of a[m] b[m] */
int64_t bs_product(const int16_t *a, const int16_t *b, uint32_t count);

/* The frame of the largest sign * signal near `frame`. */
int32_t bs_extreme(const bs_sorter_state *state, int32_t frame, int32_t channel, int32_t sign);

/* Copies the signal of a channel and its neighbours around `frame`: a template's frames, and SHIFT more at both ends. */
void bs_cut(const bs_sorter_tables *tables, const bs_sorter_state *state, int32_t frame, int32_t channel, int16_t window[][ROW]);

/* Finds the unit that explains most of the signal, of all or of one (wanted >= 0). `window` is of channel `on`, and changes. */
bs_fit bs_best_unit(const bs_sorter_tables *tables, const bs_sorter_state *state, int32_t at, int32_t on, int32_t wanted,
                    int16_t window[][ROW]);

/* Takes a unit's template, scaled, out of the signal, rounded to nearest and saturated. */
void bs_explain(const bs_sorter_tables *tables, bs_sorter_state *state, int32_t frame, int32_t unit, int32_t scale);

/* Says whether the signal has its largest value of the neighbourhood here, beyond the level. */
int bs_stands_out(const bs_sorter_tables *tables, const bs_sorter_state *state, int32_t frame, int32_t channel, int32_t sign,
                  int32_t reach);

#endif
