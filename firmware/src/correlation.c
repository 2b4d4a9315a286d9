/* Spatio-temporal correlation filter; pipeline/events/correlation.py is the same text in Python. */
#include "bitspike/correlation.h"
#include "bitspike/fixed.h"
#include "bitspike/surface.h"

#define MARGIN ((uint32_t)BS_CORRELATION_MARGIN)

int32_t bs_correlation_init(const bs_correlation_tables *tables, bs_correlation_state *state)
{
    bs_correlation_reset(state);
    return tables->window >= 1 && tables->window <= BS_LONGEST_US && tables->radius >= 1 && tables->radius <= MARGIN
        && tables->support >= 1 && tables->support <= 48
        && tables->width >= 1 && tables->width <= BS_MAX_COLUMNS && tables->height >= 1 && tables->height <= BS_MAX_ROWS
        ? 0 : BS_BAD_TABLES;
}

void bs_correlation_reset(bs_correlation_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_correlation_process(const bs_correlation_tables *tables, bs_correlation_state *state,
                               const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                               int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count)
{
    const uint32_t window = tables->window, extent = 2u * tables->radius + 1u, first = MARGIN - tables->radius;
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t column = x[i], row = y[i];
        if (BS_SELDOM(column >= tables->width || row >= tables->height)) {
            state->outside++;
            continue;
        }
        const uint32_t now = (uint32_t)t[i], now_tick = bs_tick(t[i]);
        if (BS_SELDOM(now_tick != state->tick)) {
            bs_refresh(&state->tick, state->last[0], 2u * BS_CORRELATION_PLANE, BS_MAX_COLUMNS + 2u * MARGIN, now_tick, now);
        }
        const uint32_t base = row + (p[i] != 0 && tables->polarities != 0 ? (uint32_t)BS_CORRELATION_PLANE : 0u);
        uint32_t *const mine = &state->last[base + MARGIN][column + MARGIN];
        int32_t near = now - *mine <= window ? -1 : 0;
        for (uint32_t r = base + first; r < base + first + extent; r++) {
            const uint32_t *const line = &state->last[r][column + first];
            for (uint32_t c = 0; c < extent; c++) {
                near += now - line[c] <= window;
            }
        }
        *mine = now;
        out_t[n] = t[i];
        out_x[n] = x[i];
        out_y[n] = y[i];
        out_p[n] = p[i];
        n += near >= (int32_t)tables->support;
    }
    return (int32_t)n;
}
