/* Running robust noise estimate: the median of |value|, followed by counting; pipeline/neural/noise.py is the same text in Python.
 *
 * Values are looked at in every stride-th frame. Over a window of 64 looks, count how often |value| exceeds the estimate m; at its end
 * m += m gain (count - 32) / 64. These are the steps for one value; the stages own the loops. */
#ifndef BS_NOISE_H
#define BS_NOISE_H

#include "bitspike/config.h"

#define BS_NOISE_LOOKS 64u             /* of a window */
#define BS_NOISE_FIRST_GAIN 152875u    /* Q16: the n-th window's gain is this over n + young, until the table's gain takes over */
#define BS_NOISE_YOUNG 8u              /* windows that the first estimate is worth */
#define BS_NOISE_FAR 12                /* looks from one half */
#define BS_NOISE_LARGEST (1 << 30)     /* of an estimate */

/* What is added to the estimate before the look number `seen`: a dither of one count in Q`fraction`, of mean zero. */
BS_INLINE int32_t bs_noise_offset(uint32_t seen, uint32_t fraction)
{
    const int32_t dither = (int32_t)((seen * 39u & (BS_NOISE_LOOKS - 1u)) << fraction);
    return (1 << (fraction - 1u)) - (dither >> 6);
}

/* 1 where `value` (0 to 2^(30 - fraction)) is above the estimate, else 0. */
BS_INLINE uint32_t bs_noise_exceeds(uint32_t value, uint32_t fraction, int32_t median, int32_t offset)
{
    return (int32_t)(value << fraction) > median + offset;
}

/* An estimate, held within a quarter of a count, so that it can grow again, and the largest. */
BS_INLINE int32_t bs_noise_held(int64_t estimate, uint32_t fraction)
{
    const int32_t lowest = fraction > 2u ? 1 << (fraction - 2u) : 1;
    return estimate < lowest ? lowest : estimate > BS_NOISE_LARGEST ? BS_NOISE_LARGEST : (int32_t)estimate;
}

/* The first estimate: the mean of |value| over 2^learn looks, times `ratio` in Q16, rounded down. */
BS_INLINE int32_t bs_noise_first(uint64_t total, uint32_t learn, uint32_t fraction, uint32_t ratio)
{
    return bs_noise_held((int64_t)(total * ratio >> (16u + learn - fraction)), fraction);
}

/* The gain of the window that ends, Q16: a running mean's while young, then `gain`. */
BS_INLINE int32_t bs_noise_gain_now(uint32_t windows, int32_t gain)
{
    const uint32_t age = windows < BS_NOISE_FIRST_GAIN ? windows : BS_NOISE_FIRST_GAIN;
    const int32_t young = (int32_t)(BS_NOISE_FIRST_GAIN / (age + BS_NOISE_YOUNG));
    return gain > young ? gain : young;
}

/* The estimate after a window whose count was 32 + `excess`, the one before it having been 32 + `before`. */
BS_INLINE int32_t bs_noise_next(int32_t median, int32_t excess, int32_t before, int32_t gain, uint32_t windows, uint32_t fraction)
{
    const int far = (excess > BS_NOISE_FAR && before > BS_NOISE_FAR) || (excess < -BS_NOISE_FAR && before < -BS_NOISE_FAR);
    const int32_t factor = far ? 65536 : gain;
    const uint32_t dither = windows * 0x9E3779B1u >> 10; /* so that small estimates move as truly as large ones */
    return bs_noise_held(median + (((int64_t)median * (factor * excess) + dither) >> 22), fraction);
}

/* `factor` (Q8) times the estimate, in counts, rounded to nearest, at least 1 and at most `largest`. */
BS_INLINE int32_t bs_noise_level(int32_t median, uint32_t factor, uint32_t fraction, int32_t largest)
{
    const int64_t scaled = ((int64_t)median * factor + ((int64_t)1 << (fraction + 7u))) >> (fraction + 8u);
    return scaled < 1 ? 1 : scaled > largest ? largest : (int32_t)scaled;
}

/* One window more; the count stays where it is at its end. */
BS_INLINE uint32_t bs_noise_older(uint32_t windows)
{
    return windows == UINT32_MAX ? windows : windows + 1u;
}

#endif
