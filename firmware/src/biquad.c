/* Second-order sections in CMSIS-DSP's arithmetic; pipeline/neural/biquad.py is the same text in Python. */
#include "bitspike/biquad.h"
#include "bitspike/fixed.h"
#include "bitspike/pairs.h"

#define MAX_POST_SHIFT 13u /* so that the quotient fits 32 bits */
#define FRACTION 15u       /* bits of a coefficient */
#define USUAL_SHIFT 14u    /* a1 lies between one and two in every filter of low frequencies */

#if BS_DSP
#define AT_ONCE 1          /* frames: more would need more registers */
typedef struct {           /* two values a word, as the instructions take them */
    int32_t b0;
    bs_pair b, a;          /* b1, b2; a1, a2 */
    bs_pair x, y;          /* x[n-1], x[n-2]; y[n-1], y[n-2] */
} section;

BS_INLINE section taken(const int16_t *t, const int16_t *x1, const int16_t *y1)
{
    return (section){t[0], bs_load_pair(t + 2), bs_load_pair(t + 4),
                     bs_pair_of(x1[0], x1[BS_MAX_CHANNELS]), bs_pair_of(y1[0], y1[BS_MAX_CHANNELS])};
}

BS_INLINE void keep(bs_pair pair, int16_t *newest)
{
    newest[0] = (int16_t)bs_first(pair);
    newest[BS_MAX_CHANNELS] = (int16_t)bs_second(pair);
}

BS_INLINE void keep_input(const section *s, int16_t *x1) { keep(s->x, x1); }

BS_INLINE void keep_output(const section *s, int16_t *y1) { keep(s->y, y1); }

/* (b0 x[n] + b1 x[n-1] + b2 x[n-2] + a1 y[n-1] + a2 y[n-2]) / 2^shift, rounded down and saturated; shift is 2 to 15. */
BS_INLINE int16_t step(section *s, int32_t x, uint32_t shift)
{
    const int64_t total = bs_pair_products(s->a, s->y, bs_pair_products(s->b, s->x, (int64_t)s->b0 * x));
    const int16_t y = bs_saturate16(bs_shift_down(total, shift));
    s->x = bs_pair_of(x, bs_first(s->x));
    s->y = bs_pair_of(y, bs_first(s->y));
    return y;
}
#else
#define AT_ONCE 4          /* frames: what is older need not move */
typedef struct {
    int32_t b0, b1, b2, a1, a2;
    int32_t x1, x2, y1, y2;
} section;

BS_INLINE section taken(const int16_t *t, const int16_t *x1, const int16_t *y1)
{
    return (section){t[0], t[2], t[3], t[4], t[5], x1[0], x1[BS_MAX_CHANNELS], y1[0], y1[BS_MAX_CHANNELS]};
}

BS_INLINE void keep_input(const section *s, int16_t *x1)
{
    x1[0] = (int16_t)s->x1;
    x1[BS_MAX_CHANNELS] = (int16_t)s->x2;
}

BS_INLINE void keep_output(const section *s, int16_t *y1)
{
    y1[0] = (int16_t)s->y1;
    y1[BS_MAX_CHANNELS] = (int16_t)s->y2;
}

/* The same; the quotients' sum lacks at most five, which the difference of the two sums modulo 2^32 tells. */
BS_INLINE int16_t step(section *s, int32_t x, uint32_t shift)
{
    const int32_t p0 = s->b0 * x, p1 = s->b1 * s->x1, p2 = s->b2 * s->x2, p3 = s->a1 * s->y1, p4 = s->a2 * s->y2;
    const int32_t quotients = (p0 >> shift) + (p1 >> shift) + (p2 >> shift) + (p3 >> shift) + (p4 >> shift);
    const int32_t sum = bs_add(bs_add(bs_add(bs_add(p0, p1), p2), p3), p4);
    const int32_t lost = bs_subtract(sum, bs_shift_left(quotients, shift));
    const int16_t y = bs_saturate16(quotients + (lost >> shift));
    s->x2 = s->x1;
    s->x1 = x;
    s->y2 = s->y1;
    s->y1 = y;
    return y;
}
#endif

/* One section on one channel, from `x` to `y`, which may be the same. */
BS_INLINE void filter(section *memory, uint32_t shift, const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    section s = *memory;
    BS_UNROLL(AT_ONCE)
    for (; frames > 0; frames--) {
        *y = step(&s, *x, shift);
        x += channels;
        y += channels;
    }
    *memory = s;
}

/* With the shift that nearly every filter has, which the compiler then knows; with any other. */
BS_APART void filter_usually(section *memory, const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    filter(memory, USUAL_SHIFT, x, y, frames, channels);
}

BS_APART void filter_seldom(section *memory, uint32_t shift, const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    filter(memory, shift, x, y, frames, channels);
}

/* All sections: the first from `x` to `y`, the others in place. What a section gave, the next one takes, and keeps. */
static void channel(const bs_biquad_tables *tables, int16_t *history,
                    const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    const uint32_t shift = FRACTION - tables->post_shift;
    for (uint32_t k = 0; k < tables->sections; k++) {
        int16_t *const x1 = history + 2u * k * BS_MAX_CHANNELS, *const y1 = x1 + 2 * BS_MAX_CHANNELS;
        section s = taken(tables->coefficients[k], x1, y1);
        if (shift == USUAL_SHIFT) {
            filter_usually(&s, x, y, frames, channels);
        } else {
            filter_seldom(&s, shift, x, y, frames, channels);
        }
        keep_input(&s, x1);
        if (k + 1u == tables->sections) {
            keep_output(&s, y1);
        }
        x = y;
    }
}

int32_t bs_biquad_init(const bs_biquad_tables *tables, bs_biquad_state *state)
{
    bs_biquad_reset(state);
    if (tables->sections < 1 || tables->sections > BS_BIQUAD_MAX_SECTIONS || tables->post_shift > MAX_POST_SHIFT) {
        return BS_BAD_TABLES;
    }
    for (uint32_t k = 0; k < tables->sections; k++) {
        if (tables->coefficients[k][1] != 0) {
            return BS_BAD_TABLES;
        }
    }
    return 0;
}

void bs_biquad_reset(bs_biquad_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_biquad_process(const bs_biquad_tables *tables, bs_biquad_state *state,
                          const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    for (uint32_t c = 0; c < channels; c++) {
        channel(tables, &state->history[0][c], x + c, y + c, frames, channels);
    }
    return 0;
}
