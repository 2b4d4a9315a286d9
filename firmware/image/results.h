/* The ring that an application's results are taken from. */
#ifndef BS_RESULTS_H
#define BS_RESULTS_H

#include "bitspike/config.h"

#define BS_TEXT(text) #text
#define BS_QUOTED(text) BS_TEXT(text)
#define BS_PASTE(a, b) a##b
#define BS_JOIN(a, b) BS_PASTE(a, b)

/* Words that wait at most: a power of two. */
#ifndef BS_RING_WORDS
#define BS_RING_WORDS 1024u
#endif

/* Results. A record is:
 *     word 0       output << 16 | words that follow
 *     word 1       number of its block's first frame, counted from the start, those lost included; of events, the time they reach
 *     word 2       count: frames of samples, spikes, events or particles
 *     the arrays of the output, each filled up with zeros to whole words, in the order of `bs_output` or `bs_event_output`
 * An output that has nothing to say leaves no record. `lost` counts records that found no room. */
typedef struct {
    volatile uint32_t added, taken, lost;
    uint32_t word[BS_RING_WORDS];
} bs_words_ring;

typedef struct { /* an array of an output; one that is not there is null */
    const void *array;
    uint32_t bytes;
} bs_part;

/* Puts `bytes` into the ring from its word `at` on; returns the word after them. */
static inline uint32_t bs_put(bs_words_ring *ring, uint32_t at, const void *from, uint32_t bytes)
{
    const uint8_t *next = from;
    while (bytes > 0) {
        uint32_t word = 0;
        for (uint32_t k = 0; k < 4 && bytes > 0; k++, bytes--) {
            word |= (uint32_t)*next++ << 8 * k;
        }
        ring->word[at++ % BS_RING_WORDS] = word;
    }
    return at;
}

/* Puts a record into the ring, if there is room. */
static inline void bs_report(bs_words_ring *ring, uint32_t output, uint32_t when, uint32_t count, const bs_part *parts, uint32_t number)
{
    uint32_t words = 2;
    for (uint32_t k = 0; k < number; k++) {
        words += parts[k].array ? (parts[k].bytes + 3u) / 4u : 0u;
    }
    if (words >= BS_RING_WORDS - (ring->added - ring->taken)) {
        ring->lost++;
        return;
    }
    const uint32_t head[3] = {output << 16 | words, when, count};
    uint32_t at = bs_put(ring, ring->added, head, sizeof head);
    for (uint32_t k = 0; k < number; k++) {
        at = bs_put(ring, at, parts[k].array, parts[k].array ? parts[k].bytes : 0u);
    }
    ring->added = at;
}

/* What a program calls. */
void bs_application_init(void); /* sets everything to start from */
void bs_application_run(void);  /* processes what has come, and returns when less than a block is left, which waits for what comes */

#endif
