/* Templates against the signal; classifiers/fitting.py is the same text in Python. */
#include "bitspike/fitting.h"
#include "bitspike/fixed.h"
#include "bitspike/pairs.h"

#define SCALE_BITS 12
#define SHORT 3         /* candidates that are tried on all channels */

int64_t bs_product(const int16_t *a, const int16_t *b, uint32_t count)
{
    const int16_t *const end = a + count;
    int64_t total = 0;
    for (; end - a >= 8; a += 8, b += 8) {
        total = bs_pair_products(bs_load_pair(a), bs_load_pair(b), total);
        total = bs_pair_products(bs_load_pair(a + 2), bs_load_pair(b + 2), total);
        total = bs_pair_products(bs_load_pair(a + 4), bs_load_pair(b + 4), total);
        total = bs_pair_products(bs_load_pair(a + 6), bs_load_pair(b + 6), total);
    }
    while (a < end) {
        total += *a++ * *b++;
    }
    return total;
}

int32_t bs_extreme(const bs_sorter_state *state, int32_t frame, int32_t channel, int32_t sign)
{
    int32_t best = frame, largest = sign * bs_value_at(state, frame, channel);
    for (int32_t n = frame - LOCATE; n <= frame + LOCATE; n++) {
        const int32_t value = sign * bs_value_at(state, n, channel);
        if (value > largest) {
            largest = value;
            best = n;
        }
    }
    return best;
}

/* Copies `width` frames of a channel from `frame` on. */
static void fetch(const bs_sorter_state *state, int32_t frame, int32_t channel, int32_t width, int16_t *row)
{
    for (int32_t m = 0; m < width; m++) {
        row[m] = state->ring[(uint32_t)(frame + m) & LAST][channel];
    }
}

void bs_cut(const bs_sorter_tables *tables, const bs_sorter_state *state, int32_t frame, int32_t channel, int16_t window[][ROW])
{
    for (int32_t k = 0; k < tables->neighbours; k++) {
        const int32_t c = tables->neighbour[channel][k];
        if (c < 0) {
            bs_clear(window[k], sizeof window[k]);
        } else {
            fetch(state, frame - tables->before - SHIFT, c, tables->width + 2 * SHIFT, window[k]);
        }
    }
}

/* The shift, 0 to 2 SHIFT, at which one row of a template fits best; and its product with the signal there. */
static int32_t best_shift(const int16_t *window, const int16_t *template, int32_t width, int64_t *best)
{
    int32_t chosen = 0;
    for (int32_t s = 0; s <= 2 * SHIFT; s++) {
        const int64_t dot = bs_product(window + s, template, (uint32_t)width);
        if (s == 0 || dot > *best) {
            *best = dot;
            chosen = s;
        }
    }
    return chosen;
}

/* dot / energy in Q12, rounded down, within [low, high], which are 0 to 32767: a bit at a time, since cores have no such division. */
static int32_t scale_of(int64_t dot, int64_t energy, int32_t low, int32_t high)
{
    int64_t rest = dot * (1 << SCALE_BITS);
    int32_t scale = 0;
    for (uint32_t bit = 15; bit > 0 && rest >= energy; bit--) {
        const int64_t part = energy * (1 << (bit - 1));
        if (rest >= part) {
            rest -= part;
            scale += 1 << (bit - 1);
        }
    }
    scale = rest >= energy ? high : scale; /* too large for 15 bits */
    return scale < low ? low : scale > high ? high : scale;
}

/* The energy that a template explains, and its scale a in Q12: 2 a <r, t> - a^2 <t, t> with a within its range; it counts from
 * a = 0.7 low, where it is 0.4 a^2 <t, t>. */
static int64_t explained_energy(int64_t dot, int64_t energy, int32_t low, int32_t high, int32_t *scale)
{
    const int64_t held = scale_of(dot, energy, low, high);
    const int64_t own = (held * held >> SCALE_BITS) * energy >> SCALE_BITS, explained = 2 * (held * dot >> SCALE_BITS) - own;
    *scale = (int32_t)held;
    return explained > own * 13 >> 5 ? explained : 0;
}

/* Puts the units that explain most of the signal of their own channel into `few`, best first; returns how many. own >= 0: only that
 * unit. */
static int32_t likely(const bs_sorter_tables *tables, const bs_sorter_state *state, int32_t at, int32_t on, int32_t own,
                      bs_fit *few)
{
    int16_t row[ROW];
    int64_t gains[SHORT];
    int32_t count = 0, fetched = -1;
    for (int32_t q = 0; q < tables->candidates[on]; q++) {
        const int32_t u = tables->candidate[on][q], c = tables->unit_channel[u];
        int32_t scale;
        if (own >= 0 && u != own) {
            continue;
        }
        if (c != fetched) {
            fetch(state, at - tables->before - SHIFT, c, tables->width + 2 * SHIFT, row);
            fetched = c;
        }
        int64_t dot = 0;
        const int32_t shift = best_shift(row, tables->template[u][0], tables->width, &dot);
        const int64_t gain = explained_energy(dot > 0 ? dot : 0, tables->row_energy[u], tables->low[u], tables->high[u], &scale);
        if (gain <= 0) {
            continue;
        }
        int32_t place = count;
        while (place > 0 && gains[place - 1] < gain) {
            place--;
        }
        if (place >= SHORT) {
            continue;
        }
        count = count < SHORT ? count + 1 : SHORT;
        for (int32_t k = count - 1; k > place; k--) {
            gains[k] = gains[k - 1];
            few[k] = few[k - 1];
        }
        gains[place] = gain;
        few[place].unit = u;
        few[place].shift = shift;
    }
    return count;
}

bs_fit bs_best_unit(const bs_sorter_tables *tables, const bs_sorter_state *state, int32_t at, int32_t on, int32_t wanted,
                    int16_t window[][ROW])
{
    bs_fit few[SHORT], best = {-1, 0, 0};
    const int32_t found = likely(tables, state, at, on, wanted, few);
    int32_t shown = on;
    int64_t explained = 0;
    for (int32_t q = 0; q < found; q++) {
        const int32_t u = few[q].unit;
        if (tables->unit_channel[u] != shown) {
            shown = tables->unit_channel[u];
            bs_cut(tables, state, at, shown, window);
        }
        int64_t dot = 0;
        for (int32_t k = 0; k < tables->neighbours; k++) {
            dot += bs_product(window[k] + few[q].shift, tables->template[u][k], (uint32_t)tables->width);
        }
        int32_t size;
        const int64_t gained = explained_energy(dot, tables->energy[u], tables->low[u], tables->high[u], &size);
        if (gained > explained) {
            explained = gained;
            best.unit = u;
            best.shift = few[q].shift - SHIFT;
            best.scale = size;
        }
    }
    return best;
}

void bs_explain(const bs_sorter_tables *tables, bs_sorter_state *state, int32_t frame, int32_t unit, int32_t scale)
{
    const int16_t *const near = tables->neighbour[tables->unit_channel[unit]];
    for (int32_t k = 0; k < tables->neighbours && near[k] >= 0; k++) {
        const int16_t *const row = tables->template[unit][k];
        for (int32_t m = 0; m < tables->width; m++) {
            int16_t *const value = &state->ring[(uint32_t)(frame - tables->before + m) & LAST][near[k]];
            *value = bs_saturate16(*value - ((row[m] * scale + (1 << (SCALE_BITS - 1))) >> SCALE_BITS));
        }
    }
}

int bs_stands_out(const bs_sorter_tables *tables, const bs_sorter_state *state, int32_t frame, int32_t channel, int32_t sign,
                  int32_t reach)
{
    const int32_t value = sign * bs_value_at(state, frame, channel);
    if (value < tables->level[channel]) {
        return 0;
    }
    for (int32_t k = 0; k < tables->neighbours; k++) {
        const int32_t c = tables->neighbour[channel][k];
        if (c < 0) {
            break;
        }
        for (int32_t n = frame - reach; n <= frame + reach; n++) {
            const int32_t other = sign * bs_value_at(state, n, c);
            if (other > value || (other == value && (n < frame || (n == frame && c < channel)))) {
                return 0;
            }
        }
    }
    return 1;
}
