/* Decimation; pipeline/neural/decimate.py is the same text in Python. */
#include "bitspike/decimate.h"
#include "bitspike/fixed.h"

#define MAX_ORDER BS_DECIMATE_MAX_ORDER
#define RING BS_DECIMATE_RING
#define MAX_FACTOR (1u << 24)

/* One difference after the other, modulo 2^32: what wrapped in the sums wraps back. */
static uint32_t differences(uint32_t order, uint32_t combs[MAX_ORDER][BS_MAX_CHANNELS], uint32_t c, uint32_t value)
{
    for (uint32_t k = 0; k < order; k++) {
        const uint32_t before = combs[k][c];
        combs[k][c] = value;
        value -= before;
    }
    return value;
}

/* The integrator-comb's gain taken back, rounded to nearest, halves up. */
static int16_t settled(uint32_t value, uint32_t shift)
{
    const uint32_t half = (uint32_t)((uint64_t)1 << shift >> 1);
    return bs_saturate16((int32_t)(value + half) >> shift);
}

/* Fills the state as if the first value had always been there: constant input for longer than the response. */
static void start(const bs_decimate_tables *tables, bs_decimate_state *state, const int16_t *x, uint32_t phase, uint32_t channels)
{
    const uint32_t order = tables->order, ratio = tables->ratio;
    uint32_t gain = 1;
    for (uint32_t k = 0; k < order; k++) {
        gain *= ratio;
    }
    for (uint32_t c = 0; c < channels; c++) {
        const uint32_t value = (uint32_t)x[c];
        for (uint32_t n = 0; n < order * ratio; n++) {
            uint32_t sum = value;
            for (uint32_t k = 0; k < order; k++) {
                sum += state->integrators[k][c];
                state->integrators[k][c] = sum;
            }
            if ((phase + n) % ratio == 0) { /* as many frames before this one, the phase was the same */
                (void)differences(order, state->combs, c, sum);
            }
        }
        for (uint32_t m = 0; m < RING; m++) {
            state->ring[m][c] = settled(value * gain, tables->shift);
        }
    }
}

/* The FIR's sum over the newest rows of the ring, the last of them at `at`; the ring may end between them. */
static int32_t respond(const bs_decimate_tables *tables, const int16_t ring[RING][BS_MAX_CHANNELS], uint32_t at, uint32_t c)
{
    const uint32_t taps = tables->taps, row = (at - taps + 1) % RING;
    const uint32_t before = row + taps <= RING ? taps : RING - row;
    const int16_t *coefficient = tables->coefficients, *value = &ring[row][c];
    int32_t total = 0;
    BS_UNROLL(4)
    for (uint32_t k = before; k > 0; k--) {
        total = bs_add(total, *value * *coefficient++);
        value += BS_MAX_CHANNELS;
    }
    value = &ring[0][c];
    BS_UNROLL(4)
    for (uint32_t k = taps - before; k > 0; k--) {
        total = bs_add(total, *value * *coefficient++);
        value += BS_MAX_CHANNELS;
    }
    return total;
}

/* Sums `frames` frames of one channel `order` times; returns the last sum. The compiler knows the order. */
BS_INLINE uint32_t integrate(uint32_t order, uint32_t integrators[MAX_ORDER][BS_MAX_CHANNELS], uint32_t c,
                             const int16_t *x, uint32_t frames, uint32_t channels)
{
    uint32_t sums[MAX_ORDER];
    BS_UNROLL(4)
    for (uint32_t k = 0; k < order; k++) {
        sums[k] = integrators[k][c];
    }
    BS_UNROLL(2)
    for (uint32_t n = frames; n > 0; n--) {
        uint32_t value = (uint32_t)*x;
        BS_UNROLL(4)
        for (uint32_t k = 0; k < order; k++) {
            sums[k] += value;
            value = sums[k];
        }
        x += channels;
    }
    BS_UNROLL(4)
    for (uint32_t k = 0; k < order; k++) {
        integrators[k][c] = sums[k];
    }
    return sums[order - 1];
}

static uint32_t sums_of(uint32_t order, uint32_t integrators[MAX_ORDER][BS_MAX_CHANNELS], uint32_t c,
                        const int16_t *x, uint32_t frames, uint32_t channels)
{
    switch (order) {
    case 1: return integrate(1, integrators, c, x, frames, channels);
    case 2: return integrate(2, integrators, c, x, frames, channels);
    case 3: return integrate(3, integrators, c, x, frames, channels);
    default: return integrate(4, integrators, c, x, frames, channels);
    }
}

int32_t bs_decimate_init(const bs_decimate_tables *tables, bs_decimate_state *state)
{
    bs_decimate_reset(state);
    return tables->order >= 1 && tables->order <= MAX_ORDER && tables->ratio >= 1 && tables->ratio <= MAX_FACTOR
        && tables->keep >= 1 && tables->keep <= MAX_FACTOR / tables->ratio && tables->shift <= 31
        && tables->taps >= 1 && tables->taps <= BS_DECIMATE_MAX_TAPS && tables->scale >= 1 && tables->scale <= 30
        ? 0 : BS_BAD_TABLES;
}

void bs_decimate_reset(bs_decimate_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_decimate_process(const bs_decimate_tables *tables, bs_decimate_state *state, const int16_t *x, const uint8_t *given,
                            int16_t *y, uint8_t *flags, uint32_t phase, uint32_t frames, uint32_t channels)
{
    if (frames == 0) {
        return 0;
    }
    if (!state->primed) {
        state->primed = 1;
        start(tables, state, x, phase, channels);
    }
    const uint32_t ratio = tables->ratio, factor = ratio * tables->keep;
    uint32_t wait = (ratio - phase % ratio) % ratio, wait_output = (factor - phase % factor) % factor;
    uint32_t flagged = 0;
    for (uint32_t first = 0; first < frames;) { /* to the next frame at which the integrator-comb gives a value */
        const int gives = wait < frames;
        const uint32_t count = (gives ? wait + 1 : frames) - first;
        const uint32_t at = (state->newest + 1) % RING;
        for (uint32_t c = 0; c < channels; c++) {
            const uint32_t sum = sums_of(tables->order, state->integrators, c, x + c, count, channels);
            if (gives) {
                state->ring[at][c] = settled(differences(tables->order, state->combs, c, sum), tables->shift);
            }
        }
        for (uint32_t n = 0; n < count; n++) {
            state->pending |= *given++;
        }
        if (gives) {
            state->newest = at;
        }
        if (gives && wait == wait_output) {
            for (uint32_t c = 0; c < channels; c++) {
                *y++ = bs_saturate16(bs_round_shift(respond(tables, (const int16_t (*)[BS_MAX_CHANNELS])state->ring, at, c), tables->scale));
            }
            flagged |= state->pending;
            *flags++ = (uint8_t)state->pending;
            state->pending = 0;
            wait_output += factor;
        }
        wait += ratio;
        x += count * channels;
        first += count;
    }
    return (int32_t)flagged;
}
