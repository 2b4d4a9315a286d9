/* Words of a camera's stream in any pieces, and the doubt about its clock: what the decoders of EVT2 and EVT3 share.
 *
 * The type of a word is in its highest four bits; a TIME_HIGH word has the high bits of the time below them. One that does not raise
 * the time by one unit, as a camera does, is doubted: it and the words after it wait until the next TIME_HIGH, or until BS_LOOK have
 * come. sensors/events/clock.py has the rule; there it looks ahead, here it waits, and the events are the same. */
#ifndef BS_WORDS_H
#define BS_WORDS_H

#include "bitspike/config.h"

#define BS_TIME_HIGH 8u
#define BS_NEAR 16u /* units: where the next TIME_HIGH may be if the one before it was damaged */
#define BS_BACK 16u /* units back, which are never believed */
#define BS_NO_ROOM (-5) /* there is no room for the events of one word; nothing was taken in */

enum { BS_WAIT, BS_BELIEVE, BS_REFUSE }; /* what to do with a TIME_HIGH */
enum { BS_NOWHERE, BS_WAITED, BS_STREAM, BS_PIECES }; /* where words come from */

typedef struct {
    uint32_t doubted; /* units that a TIME_HIGH would raise the time by, as long as that is doubted; else 0 */
    uint32_t waiting; /* bytes of the words that have come since */
    uint32_t done;    /* bytes of them that are decoded, once there is no doubt any more */
    uint32_t parts;   /* bytes of a word that is not whole */
    uint8_t part[4];
} bs_words;

typedef struct { /* where events are written, how many were, and how many there is room for */
    int64_t *t;
    uint16_t *x, *y;
    uint8_t *p;
    uint32_t count, room;
} bs_given;

/* The word of `size` bytes, 2 or 4, that begins at `from`. */
BS_INLINE uint32_t bs_word(const uint8_t *from, uint32_t size)
{
    uint32_t word = (uint32_t)from[0] | (uint32_t)from[1] << 8;
    if (size == 4) {
        word |= (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
    }
    return word;
}

/* Whether a TIME_HIGH that raises the time by `step` units, of a field of all bits in `mask`, is believed at once. */
BS_INLINE uint32_t bs_believe(uint32_t step, uint32_t mask)
{
    return step <= 1 ? BS_BELIEVE : step > mask - BS_BACK ? BS_REFUSE : BS_WAIT;
}

/* Begins to doubt a TIME_HIGH. */
BS_INLINE void bs_doubt(bs_words *words, uint32_t step)
{
    words->doubted = step;
    words->waiting = 0;
    words->done = 0;
}

/* Lets words wait, up to the first that tells what to do: sets `verdict`, and returns how many. `high`: the time so far in units. */
BS_INLINE uint32_t bs_hold(bs_words *words, uint8_t *waited, const uint8_t *from, uint32_t count, uint32_t size, uint32_t high,
                           uint32_t *verdict)
{
    const uint32_t bits = 8u * size - 4u, mask = (1u << bits) - 1u;
    uint32_t k = 0;
    *verdict = BS_WAIT;
    while (k < count && *verdict == BS_WAIT) {
        const uint32_t word = bs_word(from + size * k, size), after = (word - high) & mask;
        for (uint32_t b = 0; b < size; b++) {
            waited[words->waiting + b] = from[size * k + b];
        }
        words->waiting += size;
        k++;
        if (word >> bits == BS_TIME_HIGH) {
            *verdict = after <= BS_NEAR && after < words->doubted ? BS_REFUSE : BS_BELIEVE;
        } else if (words->waiting >= BS_LOOK * size) {
            *verdict = BS_BELIEVE;
        }
    }
    return k;
}

/* Finds what comes next: words that waited, whole words of `bytes` from `at` on, or one whose bytes came in pieces, which it puts
 * together. Sets where it begins and how many words there are; returns where they come from. */
BS_INLINE uint32_t bs_next(bs_words *words, const uint8_t *waited, const uint8_t *bytes, uint32_t *at, uint32_t count, uint32_t size,
                           const uint8_t **from, uint32_t *there)
{
    uint32_t source = BS_NOWHERE;
    *there = 0;
    if (words->doubted == 0 && words->done < words->waiting) {
        *from = waited + words->done;
        *there = (words->waiting - words->done) / size;
        source = BS_WAITED;
    } else if (words->parts == 0 && count - *at >= size) {
        *from = bytes + *at;
        *there = (count - *at) / size;
        source = BS_STREAM;
    } else {
        while (*at < count && words->parts < size) {
            words->part[words->parts++] = bytes[(*at)++];
        }
        if (words->parts == size) {
            *from = words->part;
            *there = 1;
            source = BS_PIECES;
        }
    }
    return source;
}

/* Goes on after `count` words of that source. */
BS_INLINE void bs_passed(bs_words *words, uint32_t source, uint32_t count, uint32_t size, uint32_t *at)
{
    if (source == BS_PIECES) {
        words->parts = 0;
    } else if (source == BS_STREAM) {
        *at += count * size;
    } else if (words->doubted == 0) { /* a doubt begins with the last that waited */
        words->done += count * size;
    }
}

#endif
