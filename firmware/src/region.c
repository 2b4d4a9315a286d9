/* Region of interest and mounting; pipeline/events/region.py is the same text in Python. */
#include "bitspike/fixed.h"
#include "bitspike/region.h"

int32_t bs_region_init(const bs_region_tables *tables, bs_region_state *state)
{
    bs_region_reset(state);
    return tables->left <= 16384 && tables->top <= 16384 && tables->width >= 1 && tables->width <= 16384 && tables->height >= 1
        && tables->height <= 16384 && tables->transpose <= 1 && tables->flip_x <= 1 && tables->flip_y <= 1
        ? 0 : BS_BAD_TABLES;
}

void bs_region_reset(bs_region_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_region_process(const bs_region_tables *tables, bs_region_state *state,
                          const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                          int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count)
{
    const uint32_t width = tables->width, height = tables->height;
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t u = x[i] - tables->left, v = y[i] - tables->top; /* what is before the region wraps beyond it */
        const uint32_t inside = u < width && v < height;
        uint32_t mirrored_u, mirrored_v;
        if (tables->transpose) {
            mirrored_u = tables->flip_x ? height - 1u - v : v;
            mirrored_v = tables->flip_y ? width - 1u - u : u;
        } else {
            mirrored_u = tables->flip_x ? width - 1u - u : u;
            mirrored_v = tables->flip_y ? height - 1u - v : v;
        }
        out_t[n] = t[i];
        out_x[n] = (uint16_t)mirrored_u;
        out_y[n] = (uint16_t)mirrored_v;
        out_p[n] = p[i];
        n += inside;
    }
    state->outside += count - n;
    return (int32_t)n;
}
