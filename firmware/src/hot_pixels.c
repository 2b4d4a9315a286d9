/* Hot-pixel mask; pipeline/events/hot_pixels.py is the same text in Python. */
#include "bitspike/fixed.h"
#include "bitspike/hot_pixels.h"

#define LEARNING 1u
#define LEARNED 2u

/* Sets the bits of hot pixels; one that was found no longer counts for its neighbours. Then all counts are 0. */
static void learn(const bs_hot_pixels_tables *tables, bs_hot_pixels_state *state)
{
    for (uint32_t row = 1; row <= tables->height; row++) {
        for (uint32_t column = 1; column <= tables->width; column++) {
            const uint32_t mine = state->counts[row][column];
            if (mine < tables->least) {
                continue;
            }
            uint32_t most = 0;
            for (uint32_t r = row - 1u; r <= row + 1u; r++) {
                for (uint32_t c = column - 1u; c <= column + 1u; c++) {
                    const uint32_t other = state->counts[r][c];
                    if ((r != row || c != column) && other != BS_HOT && other > most) {
                        most = other;
                    }
                }
            }
            if (mine > most * tables->ratio && mine > 1u) {
                uint8_t *const bits = &state->mask[row - 1u][(column - 1u) >> 3];
                state->counts[row][column] = (uint16_t)BS_HOT;
                *bits = (uint8_t)(*bits | (1u << ((column - 1u) & 7u)));
                state->found++;
            }
        }
    }
    bs_clear(state->counts, sizeof state->counts);
}

/* Counts events until the time to learn is over; returns how many came before. */
static uint32_t count_events(const bs_hot_pixels_tables *tables, bs_hot_pixels_state *state,
                             const int64_t *t, const uint16_t *x, const uint16_t *y, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t column = x[i], row = y[i];
        if (BS_SELDOM(column >= tables->width || row >= tables->height)) {
            continue;
        }
        const uint32_t now = (uint32_t)t[i];
        if (state->phase == 0) {
            state->phase = LEARNING;
            state->began = now;
        }
        if (now - state->began >= tables->learn_us) {
            learn(tables, state);
            state->phase = LEARNED;
            return i;
        }
        uint16_t *const mine = &state->counts[row + 1u][column + 1u];
        if (*mine < BS_HOT - 1u) {
            *mine = (uint16_t)(*mine + 1u);
        }
    }
    return count;
}

int32_t bs_hot_pixels_init(const bs_hot_pixels_tables *tables, bs_hot_pixels_state *state)
{
    bs_hot_pixels_reset(state);
    return tables->learn_us >= 1 && tables->learn_us <= 60000000 && tables->least >= 1 && tables->least < BS_HOT
        && tables->ratio >= 1 && tables->ratio <= 100 && tables->width >= 1
        && tables->width <= BS_MAX_COLUMNS && tables->height >= 1 && tables->height <= BS_MAX_ROWS
        ? 0 : BS_BAD_TABLES;
}

void bs_hot_pixels_reset(bs_hot_pixels_state *state)
{
    bs_clear(state, sizeof *state);
}

void bs_hot_pixels_gap(bs_hot_pixels_state *state)
{
    state->outside = 0;
    state->dropped = 0;
}

int32_t bs_hot_pixels_process(const bs_hot_pixels_tables *tables, bs_hot_pixels_state *state,
                              const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                              int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count)
{
    const uint32_t before = state->phase == LEARNED ? 0 : count_events(tables, state, t, x, y, count);
    uint32_t n = 0, gone = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t column = x[i], row = y[i];
        if (BS_SELDOM(column >= tables->width || row >= tables->height)) {
            state->outside++;
            continue;
        }
        const uint32_t bit = ((uint32_t)state->mask[row][column >> 3] >> (column & 7u)) & 1u, hot = i >= before ? bit : 0;
        out_t[n] = t[i];
        out_x[n] = x[i];
        out_y[n] = y[i];
        out_p[n] = p[i];
        n += 1u - hot;
        gone += hot;
    }
    state->dropped += gone;
    return (int32_t)n;
}
