/* A chain of events between two rings: an interrupt puts bytes of the camera into one, results are taken from the other.
 *
 * The chain is what `bitspike tables` generated: compile with -DBS_CHAIN=cytometry -DBS_CHAIN_MACRO=CYTOMETRY, and its folder on the
 * path. Each side of a ring moves its own counter, as in application.h. */
#ifndef BS_EVENTS_H
#define BS_EVENTS_H

#ifndef BS_CHAIN
#error "compile with -DBS_CHAIN=name -DBS_CHAIN_MACRO=NAME of the generated chain"
#endif
#include "results.h"
#include BS_QUOTED(BS_CHAIN.h)

#define BS_CHAIN_WORD BS_JOIN(BS_CHAIN_MACRO, _WORD)
#define BS_CHAIN_OUTPUTS BS_JOIN(BS_CHAIN_MACRO, _OUTPUTS)

/* Bytes that wait at most: a power of two. */
#ifndef BS_RING_BYTES
#define BS_RING_BYTES 8192u
#endif
_Static_assert((BS_RING_BYTES & (BS_RING_BYTES - 1)) == 0 && (BS_RING_WORDS & (BS_RING_WORDS - 1)) == 0, "powers of two");

/* Bytes from the camera. `lost` counts those that came while the ring was full; from the first of them on none is taken in until the
 * chain, which has to know where they are missing, has been told: then `noticed` is `lost`. */
typedef struct {
    volatile uint32_t added, taken, lost, noticed;
    uint8_t byte[BS_RING_BYTES];
} bs_bytes_ring;

extern bs_bytes_ring bs_application_input;
extern bs_words_ring bs_application_output;
extern volatile int32_t bs_application_status; /* 0, or why the chain refused its tables or a block: it has stopped then */

/* For the interrupt of the camera's interface: takes in whole words, all or none. */
void bs_application_take(const uint8_t *bytes, uint32_t count);

#endif
