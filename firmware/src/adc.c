/* Converter to n-bit codes; pipeline/neural/adc.py is the same text in Python. */
#include "bitspike/adc.h"
#include "bitspike/fixed.h"

#define LEVEL_BITS 14u /* fractional bits of the slow level */
#define MAX_GAIN 16384
#define MAX_SHIFT 29

/* m[n] = m[n-1] + (x[n] - m[n-1]) / 2^coupling, code = (x[n] - m[n]) gain / 2^shift, each rounded to nearest. */
static int32_t channel(const bs_adc_tables *tables, int32_t level, const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    const int32_t gain = tables->gain, low = tables->low, top = tables->top;
    const uint32_t shift = tables->shift, coupling = tables->coupling;
    BS_UNROLL(2)
    for (uint32_t n = frames; n > 0; n--) {
        const int32_t value = *x;
        level += bs_round_shift(bs_shift_left(value, LEVEL_BITS) - level, coupling);
        const int32_t code = bs_round_shift((value - bs_round_shift(level, LEVEL_BITS)) * gain, shift);
        *y = (int16_t)(code < low ? low : code > top ? top : code);
        x += channels;
        y += channels;
    }
    return level;
}

int32_t bs_adc_init(const bs_adc_tables *tables, bs_adc_state *state)
{
    bs_adc_reset(state);
    return tables->gain >= 0 && tables->gain <= MAX_GAIN && tables->shift >= 1 && tables->shift <= MAX_SHIFT
        && tables->coupling >= 1 && tables->coupling <= LEVEL_BITS && tables->low >= INT16_MIN && tables->low <= 0
        && tables->top >= 0 && tables->top <= INT16_MAX ? 0 : BS_BAD_TABLES;
}

void bs_adc_reset(bs_adc_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_adc_process(const bs_adc_tables *tables, bs_adc_state *state,
                       const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    if (frames == 0) {
        return 0;
    }
    if (!state->primed) { /* start as if the first value had always been there */
        state->primed = 1;
        for (uint32_t c = 0; c < channels; c++) {
            state->level[0][c] = bs_shift_left(x[c], LEVEL_BITS);
        }
    }
    for (uint32_t c = 0; c < channels; c++) {
        state->level[0][c] = channel(tables, state->level[0][c], x + c, y + c, frames, channels);
    }
    return 0;
}
