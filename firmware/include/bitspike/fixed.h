/* Fixed-point arithmetic: the few operations that the stages share, each with its one rounding rule.
 * pipeline/fixed.py has the functions of the same names that the host runs. */
#ifndef BS_FIXED_H
#define BS_FIXED_H

#include "bitspike/config.h"

/* Sets memory to zero. */
BS_INLINE void bs_clear(void *memory, uint32_t bytes)
{
    for (uint8_t *at = memory; bytes > 0; bytes--) {
        *at++ = 0;
    }
}

/* a + b, a - b, a * b and a * 2^shift, the low 32 bits. Tables from design() never let them wrap; damaged ones can do no more than that. */
BS_INLINE int32_t bs_add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

BS_INLINE int32_t bs_subtract(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

BS_INLINE int32_t bs_multiply(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a * (uint32_t)b);
}

BS_INLINE int32_t bs_shift_left(int32_t a, uint32_t shift)
{
    return (int32_t)((uint32_t)a << shift);
}

/* |value|, right for the least of all too. */
BS_INLINE uint32_t bs_size(int32_t value)
{
    return value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
}

/* value, held at the ends of the range of int16. */
BS_INLINE int16_t bs_saturate16(int32_t value)
{
#if defined(__ARM_FEATURE_SAT)
    return (int16_t)__builtin_arm_ssat(value, 16);
#else
    int32_t narrow = (int16_t)value;
    BS_OPAQUE(narrow)
    if (BS_SELDOM(value != narrow)) {
        value = value < 0 ? INT16_MIN : INT16_MAX;
    }
    return (int16_t)value;
#endif
}

/* value / 2^shift, rounded to nearest, halves up; shift is 1 to 30, |value| < 2^30. */
BS_INLINE int32_t bs_round_shift(int32_t value, uint32_t shift)
{
    return bs_add(value, (int32_t)(1u << (shift - 1u))) >> shift;
}

/* bs_round_shift(value, shift) is bs_multiply_high(value, bs_round_factor(shift)), where that is one instruction; shift is 2 to 30. */
BS_INLINE int32_t bs_round_factor(uint32_t shift)
{
    return (int32_t)(1u << (32u - shift));
}

/* (a b) / 2^32, rounded to nearest, halves up. */
BS_INLINE int32_t bs_multiply_high(int32_t a, int32_t b)
{
#if defined(__ARM_FEATURE_DSP)
    int32_t product;
    __asm__("smmulr %0, %1, %2" : "=r"(product) : "r"(a), "r"(b));
    return product;
#else
    return (int32_t)(((int64_t)a * b + INT64_C(0x80000000)) >> 32);
#endif
}

/* The integer square root of a value below 2^63, rounded down. */
BS_INLINE uint32_t bs_isqrt64(uint64_t value)
{
    uint64_t remainder = value, root = 0, bit = UINT64_C(1) << 62;
    while (bit > remainder) {
        bit >>= 2;
    }
    while (bit != 0) {
        if (remainder >= root + bit) {
            remainder -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
        bit >>= 2;
    }
    return (uint32_t)root;
}

/* numerator / denominator, rounded down; the denominator is positive. */
BS_INLINE int64_t bs_divide_down(int64_t numerator, int64_t denominator)
{
    const int64_t quotient = numerator / denominator;
    return quotient - (quotient * denominator > numerator);
}

#endif
