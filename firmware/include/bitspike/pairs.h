/* Two int16 in one word, worked on at once: instructions of cores with the DSP extension, and C that does the same. */
#ifndef BS_PAIRS_H
#define BS_PAIRS_H

#include "bitspike/fixed.h"

typedef uint32_t bs_pair; /* the first of two neighbours in memory is the low half */

BS_INLINE bs_pair bs_pair_of(int32_t first, int32_t second)
{
    return (uint16_t)first | (uint32_t)(uint16_t)second << 16;
}

BS_INLINE int32_t bs_first(bs_pair pair)
{
    return (int16_t)(uint16_t)pair;
}

BS_INLINE int32_t bs_second(bs_pair pair)
{
    return (int16_t)(uint16_t)(pair >> 16);
}

/* Two neighbours in memory, which need not begin at a word. */
BS_INLINE bs_pair bs_load_pair(const int16_t *at)
{
#if defined(__GNUC__)
    bs_pair pair;
    __builtin_memcpy(&pair, at, sizeof pair);
    return pair;
#else
    return bs_pair_of(at[0], at[1]);
#endif
}

BS_INLINE void bs_store_pair(int16_t *at, bs_pair pair)
{
#if defined(__GNUC__)
    __builtin_memcpy(at, &pair, sizeof pair);
#else
    at[0] = (int16_t)bs_first(pair);
    at[1] = (int16_t)bs_second(pair);
#endif
}

/* Of each half: c where a is not below b, else d. */
BS_INLINE bs_pair bs_pair_select(bs_pair a, bs_pair b, bs_pair c, bs_pair d)
{
#if defined(__ARM_FEATURE_DSP)
    bs_pair chosen;
    __asm__("ssub16 %0, %1, %2\n\tsel %0, %3, %4" : "=&r"(chosen) : "r"(a), "r"(b), "r"(c), "r"(d) : "cc");
    return chosen;
#else
    return (bs_first(a) >= bs_first(b) ? c & 0xFFFFu : d & 0xFFFFu) | (bs_second(a) >= bs_second(b) ? c & 0xFFFF0000u : d & 0xFFFF0000u);
#endif
}

/* a - b of each half, held within the range of int16. */
BS_INLINE bs_pair bs_pair_subtract(bs_pair a, bs_pair b)
{
#if defined(__ARM_FEATURE_DSP)
    bs_pair difference;
    __asm__("qsub16 %0, %1, %2" : "=r"(difference) : "r"(a), "r"(b));
    return difference;
#else
    return bs_pair_of(bs_saturate16(bs_first(a) - bs_first(b)), bs_saturate16(bs_second(a) - bs_second(b)));
#endif
}

/* sum + the product of the first halves + that of the second ones. */
BS_INLINE int64_t bs_pair_products(bs_pair a, bs_pair b, int64_t sum)
{
#if defined(__ARM_FEATURE_DSP)
    uint32_t low = (uint32_t)sum, high = (uint32_t)((uint64_t)sum >> 32);
    __asm__("smlald %0, %1, %2, %3" : "+r"(low), "+r"(high) : "r"(a), "r"(b));
    return (int64_t)((uint64_t)high << 32 | low);
#else
    return sum + (int64_t)bs_first(a) * bs_first(b) + (int64_t)bs_second(a) * bs_second(b);
#endif
}

/* value / 2^shift, rounded down, the low 32 bits; shift is 1 to 31. */
BS_INLINE int32_t bs_shift_down(int64_t value, uint32_t shift)
{
    const uint32_t low = (uint32_t)value, high = (uint32_t)((uint64_t)value >> 32);
    return (int32_t)(low >> shift | high << (32u - shift));
}

#endif
