/* Polarity selection; pipeline/events/polarity.py is the same text in Python. */
#include "bitspike/fixed.h"
#include "bitspike/polarity.h"

int32_t bs_polarity_init(const bs_polarity_tables *tables, bs_polarity_state *state)
{
    bs_polarity_reset(state);
    return tables->kept >= 1 && tables->kept <= 3 && tables->invert <= 1
        ? 0 : BS_BAD_TABLES;
}

void bs_polarity_reset(bs_polarity_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_polarity_process(const bs_polarity_tables *tables, bs_polarity_state *state,
                            const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                            int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t polarity = p[i] != 0;
        out_t[n] = t[i];
        out_x[n] = x[i];
        out_y[n] = y[i];
        out_p[n] = (uint8_t)(polarity ^ tables->invert);
        n += tables->kept >> polarity & 1u;
    }
    state->dropped += count - n;
    return (int32_t)n;
}
