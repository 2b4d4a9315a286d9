/* A chain between two rings: an interrupt puts frames of the converter into one, results are taken from the other.
 *
 * The chain is what `bitspike tables` generated: compile with -DBS_CHAIN=psoc68 -DBS_CHAIN_MACRO=PSOC68, and its folder on the path.
 * One side of a ring only adds, the other only takes; each moves its own counter, after the memory that it speaks of. So neither
 * has to keep interrupts off. */
#ifndef BS_APPLICATION_H
#define BS_APPLICATION_H

#ifndef BS_CHAIN
#error "compile with -DBS_CHAIN=name -DBS_CHAIN_MACRO=NAME of the generated chain"
#endif
#include "results.h"
#include BS_QUOTED(BS_CHAIN.h)

#define BS_CHAIN_CHANNELS BS_JOIN(BS_CHAIN_MACRO, _CHANNELS)
#define BS_CHAIN_FRAMES BS_JOIN(BS_CHAIN_MACRO, _FRAMES)
#define BS_CHAIN_OUTPUTS BS_JOIN(BS_CHAIN_MACRO, _OUTPUTS)

/* Frames that wait at most: a power of two. */
#ifndef BS_RING_FRAMES
#if BS_CHAIN_FRAMES <= 32
#define BS_RING_FRAMES 64u
#elif BS_CHAIN_FRAMES <= 128
#define BS_RING_FRAMES 256u
#else
#define BS_RING_FRAMES 1024u
#endif
#endif
_Static_assert((BS_RING_FRAMES & (BS_RING_FRAMES - 1)) == 0 && (BS_RING_WORDS & (BS_RING_WORDS - 1)) == 0, "powers of two");
_Static_assert(BS_RING_FRAMES >= 2 * BS_CHAIN_FRAMES, "there must be room for the next block while one is processed");

/* Frames from the converter. `lost` counts those that came while the ring was full; from the first of them on none is taken in until
 * the chain, which has to know where they are missing, has been told: then `noticed` is `lost`. */
typedef struct {
    volatile uint32_t added, taken, lost, noticed;
    int16_t frame[BS_RING_FRAMES][BS_CHAIN_CHANNELS];
} bs_frames_ring;

extern bs_frames_ring bs_application_input;
extern bs_words_ring bs_application_output;
extern volatile int32_t bs_application_status; /* 0, or why the chain refused its tables or a block: it has stopped then */

/* For the converter's interrupt: takes in one frame. */
void bs_application_take(const int16_t *frame);

#endif
