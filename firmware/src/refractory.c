/* Refractory filter; pipeline/events/refractory.py is the same text in Python. */
#include "bitspike/fixed.h"
#include "bitspike/refractory.h"
#include "bitspike/surface.h"

int32_t bs_refractory_init(const bs_refractory_tables *tables, bs_refractory_state *state)
{
    bs_refractory_reset(state);
    return tables->period >= 1 && tables->period <= BS_LONGEST_US && tables->width >= 1 && tables->width <= BS_MAX_COLUMNS
        && tables->height >= 1 && tables->height <= BS_MAX_ROWS
        ? 0 : BS_BAD_TABLES;
}

void bs_refractory_reset(bs_refractory_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_refractory_process(const bs_refractory_tables *tables, bs_refractory_state *state,
                              const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                              int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t column = x[i], row = y[i];
        if (BS_SELDOM(column >= tables->width || row >= tables->height)) {
            state->outside++;
            continue;
        }
        const uint32_t now = (uint32_t)t[i], now_tick = bs_tick(t[i]);
        if (BS_SELDOM(now_tick != state->tick)) {
            bs_refresh(&state->tick, state->last[0], tables->height, BS_MAX_COLUMNS, now_tick, now);
        }
        uint32_t *const last = &state->last[row][column];
        const uint32_t kept = now - *last >= tables->period;
        *last = kept ? now : *last;
        out_t[n] = t[i];
        out_x[n] = x[i];
        out_y[n] = y[i];
        out_p[n] = p[i];
        n += kept;
        state->dropped += 1u - kept;
    }
    return (int32_t)n;
}
