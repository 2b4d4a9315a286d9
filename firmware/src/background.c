/* Background-activity filter; pipeline/events/background.py is the same text in Python. */
#include "bitspike/background.h"
#include "bitspike/fixed.h"
#include "bitspike/surface.h"

#define STRIDE (BS_MAX_COLUMNS + 2)

int32_t bs_background_init(const bs_background_tables *tables, bs_background_state *state)
{
    bs_background_reset(state);
    return tables->window >= 1 && tables->window <= BS_LONGEST_US && tables->neighbours >= 1 && tables->neighbours <= 8
        && tables->width >= 1 && tables->width <= BS_MAX_COLUMNS && tables->height >= 1 && tables->height <= BS_MAX_ROWS
        ? 0 : BS_BAD_TABLES;
}

void bs_background_reset(bs_background_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_background_process(const bs_background_tables *tables, bs_background_state *state,
                              const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                              int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count)
{
    const uint32_t window = tables->window;
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t column = x[i], row = y[i];
        if (BS_SELDOM(column >= tables->width || row >= tables->height)) {
            state->outside++;
            continue;
        }
        const uint32_t now = (uint32_t)t[i], now_tick = bs_tick(t[i]);
        if (BS_SELDOM(now_tick != state->tick)) {
            bs_refresh(&state->tick, state->last[0], tables->height + 2u, BS_MAX_COLUMNS + 2u, now_tick, now);
        }
        uint32_t *const above = &state->last[row][column], *const here = above + STRIDE, *const below = here + STRIDE;
        uint32_t near = now - above[0] <= window;
        near += now - above[1] <= window;
        near += now - above[2] <= window;
        near += now - here[0] <= window;
        near += now - here[2] <= window;
        near += now - below[0] <= window;
        near += now - below[1] <= window;
        near += now - below[2] <= window;
        here[1] = now;
        out_t[n] = t[i];
        out_x[n] = x[i];
        out_y[n] = y[i];
        out_p[n] = p[i];
        n += near >= tables->neighbours;
    }
    return (int32_t)n;
}
