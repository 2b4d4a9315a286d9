/* Pooling to a coarse grid; pipeline/events/pooling.py is the same text in Python. */
#include "bitspike/fixed.h"
#include "bitspike/pooling.h"
#include "bitspike/surface.h"

#define ONE 256u /* an event, in v */

int32_t bs_pooling_init(const bs_pooling_tables *tables, bs_pooling_state *state)
{
    bs_pooling_reset(state);
    return tables->cell >= 1 && tables->cell <= 256 && tables->step <= 16 && tables->threshold >= ONE
        && tables->threshold <= 100u * ONE
        && tables->width >= 1 && tables->width <= BS_MAX_COLUMNS && tables->height >= 1 && tables->height <= BS_MAX_ROWS
        ? 0 : BS_BAD_TABLES;
}

void bs_pooling_reset(bs_pooling_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_pooling_process(const bs_pooling_tables *tables, bs_pooling_state *state,
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
            bs_refresh(&state->tick, state->last[0], 2u * BS_MAX_ROWS, BS_MAX_COLUMNS, now_tick, now);
        }
        const uint32_t u = column / tables->cell, w = row / tables->cell;
        const uint32_t at = w + (p[i] != 0 ? (uint32_t)BS_MAX_ROWS : 0u);
        uint32_t *const last = &state->last[at][u], *const v = &state->v[at][u];
        const uint32_t past = (now - *last) >> tables->step;
        uint32_t level = *v;
        if (past >= BS_POOLING_ENTRIES * BS_POOLING_ENTRIES) {
            level = 0;
            *last = now;
        } else {
            level = level * tables->coarse[past >> 6] >> 15;
            level = level * tables->fine[past & 63u] >> 15;
            *last += past << tables->step;
        }
        level += ONE;
        const uint32_t fires = level >= tables->threshold;
        *v = fires ? level - tables->threshold : level;
        out_t[n] = t[i];
        out_x[n] = (uint16_t)u;
        out_y[n] = (uint16_t)w;
        out_p[n] = p[i];
        n += fires;
    }
    return (int32_t)n;
}
