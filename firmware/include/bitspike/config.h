/* What the whole library is compiled for, and what it asks of the compiler. */
#ifndef BS_CONFIG_H
#define BS_CONFIG_H

#include <stdint.h>

/* The most channels that any stage can be asked to process; it sizes every state and some tables. */
#ifndef BS_MAX_CHANNELS
#define BS_MAX_CHANNELS 68
#endif
_Static_assert(BS_MAX_CHANNELS >= 1 && BS_MAX_CHANNELS <= 32767, "BS_MAX_CHANNELS: 1 to 32767");

/* The sorter's: channels of one spike, frames of a template and of the part of it that features are made of, features, clusters of a
 * channel, units, units that reach a channel, frames of the signal that are held, spikes that may wait. */
#ifndef BS_MAX_NEIGHBOURS
#define BS_MAX_NEIGHBOURS 12
#endif
#ifndef BS_MAX_TEMPLATE_FRAMES
#define BS_MAX_TEMPLATE_FRAMES 96
#endif
#ifndef BS_MAX_FEATURE_FRAMES
#define BS_MAX_FEATURE_FRAMES 64
#endif
#ifndef BS_MAX_FEATURES
#define BS_MAX_FEATURES 8
#endif
#ifndef BS_MAX_CLUSTERS
#define BS_MAX_CLUSTERS 8
#endif
#ifndef BS_MAX_UNITS
#define BS_MAX_UNITS (BS_MAX_CLUSTERS * BS_MAX_CHANNELS)
#endif
#ifndef BS_MAX_CANDIDATES
#define BS_MAX_CANDIDATES 32
#endif
#ifndef BS_MAX_HELD_FRAMES
#define BS_MAX_HELD_FRAMES 512
#endif
#ifndef BS_MAX_WAITING_SPIKES
#define BS_MAX_WAITING_SPIKES 256
#endif

/* The event camera's: its pixels, particles that are followed at a time, bytes of what a classifier is given of one. */
#ifndef BS_MAX_COLUMNS
#define BS_MAX_COLUMNS 64
#endif
#ifndef BS_MAX_ROWS
#define BS_MAX_ROWS 48
#endif
#ifndef BS_MAX_TRACKS
#define BS_MAX_TRACKS 8
#endif
#ifndef BS_MAX_TENSOR_BYTES
#define BS_MAX_TENSOR_BYTES 768
#endif
/* Words of the camera's stream that may wait while the decoder doubts a time: with fewer it believes a damaged one sooner. */
#ifndef BS_LOOK
#define BS_LOOK 4096
#endif
_Static_assert(BS_LOOK >= 1 && BS_LOOK <= 65536, "BS_LOOK: 1 to 65536");
_Static_assert(BS_MAX_COLUMNS >= 1 && BS_MAX_COLUMNS <= 16384, "BS_MAX_COLUMNS: 1 to 16384");
_Static_assert(BS_MAX_ROWS >= 1 && BS_MAX_ROWS <= 1016, "BS_MAX_ROWS: 1 to 1016, so that a surface is looked through in time");
_Static_assert(BS_MAX_TRACKS >= 1 && BS_MAX_TENSOR_BYTES >= 1, "BS_MAX_TRACKS, BS_MAX_TENSOR_BYTES: at least 1");
_Static_assert((BS_MAX_HELD_FRAMES & (BS_MAX_HELD_FRAMES - 1)) == 0, "BS_MAX_HELD_FRAMES: a power of two");
_Static_assert(BS_MAX_UNITS >= 1 && BS_MAX_UNITS <= 32767, "BS_MAX_UNITS: 1 to 32767");

/* What C leaves to the compiler and the arithmetic relies on. */
_Static_assert(-5 >> 1 == -3 && (int64_t)-5 >> 1 == -3, "the right shift of a negative number must be arithmetic");
_Static_assert((int32_t)UINT32_C(0x80000000) == INT32_MIN, "conversion to a signed type must keep the low bits");
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tables and state are little-endian"
#endif

/* What a function returns instead of a count: spikes that no detector could have given, or tables that no design could have. */
#define BS_NO_CHANNEL (-1) /* a spike is on no channel; nothing was taken in */
#define BS_NO_TIME (-2)    /* a spike lies outside its block and the frames before it that are held; nothing was taken in */
#define BS_BAD_TABLES (-3) /* a value is outside what the stage can work with */

/* Whether to use the variants for the few registers and the DSP instructions of a Cortex-M4. Any other machine can run them too, on
 * C that does what the instructions do: the bits are the same. */
#ifndef BS_DSP
#if defined(__ARM_FEATURE_DSP) && defined(__thumb__)
#define BS_DSP 1
#else
#define BS_DSP 0
#endif
#endif

/* A helper that is to be compiled anew for each set of constant arguments; one that is to be compiled by itself. */
#if defined(__GNUC__)
#define BS_INLINE static inline __attribute__((always_inline))
#define BS_APART static __attribute__((noinline, unused)) /* unused: a header may have one that its file does not call */
#else
#define BS_INLINE static inline
#define BS_APART static
#endif

/* Hints, which change no bit: unroll the loop that follows, by a literal number; a condition that is seldom true. */
#define BS_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define BS_UNROLL(times) BS_PRAGMA(unroll times)
#elif defined(__GNUC__)
#define BS_UNROLL(times) BS_PRAGMA(GCC unroll times)
#else
#define BS_UNROLL(times)
#endif
#if defined(__GNUC__)
#define BS_SELDOM(condition) __builtin_expect(!!(condition), 0)
#else
#define BS_SELDOM(condition) (condition)
#endif

/* Keeps clang from making two comparisons and two jumps of a condition that is seldom true, where there is no instruction for it. */
#if defined(__clang__) && defined(__riscv)
#define BS_OPAQUE(value) __asm__("" : "+r"(value));
#else
#define BS_OPAQUE(value)
#endif

/* Keeps it from taking sums apart that are one instruction each. */
#if defined(__clang__) && BS_DSP
#define BS_OPAQUE_DSP(value) __asm__("" : "+r"(value));
#else
#define BS_OPAQUE_DSP(value)
#endif

#endif
