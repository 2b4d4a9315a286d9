/* Hot-pixel mask: pixels that fire much more often than all around them are found at the start and left out from then on. */
#ifndef BS_HOT_PIXELS_H
#define BS_HOT_PIXELS_H

#include "bitspike/config.h"

#define BS_HOT 65535u /* in place of a count, while the others are looked through */

typedef struct { /* what the parameters become */
    uint32_t learn_us; /* for how long events are counted */
    uint32_t least;    /* events of a hot pixel in that time */
    uint32_t ratio;    /* how many times as many as its busiest neighbour it must have more than */
    uint32_t width;    /* of the sensor */
    uint32_t height;
} bs_hot_pixels_tables;

typedef struct { /* what one block leaves for the next; all zero to start */
    uint32_t phase;   /* 0: no event yet; 1: counting; 2: learned */
    uint32_t began;   /* time of the first event */
    uint32_t outside; /* events outside the sensor */
    uint32_t dropped;
    uint32_t found;   /* hot pixels */
    uint16_t counts[BS_MAX_ROWS + 2][BS_MAX_COLUMNS + 2]; /* while counting; with a margin of 1 */
    uint8_t mask[BS_MAX_ROWS][(BS_MAX_COLUMNS + 7) / 8]; /* a bit a pixel: 1 of a hot one, bit 0 of a byte on the left */
} bs_hot_pixels_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_hot_pixels_init(const bs_hot_pixels_tables *tables, bs_hot_pixels_state *state);

/* Forgets everything. */
void bs_hot_pixels_reset(bs_hot_pixels_state *state);

/* Forgets what lost events make worthless and keeps what was learned. */
void bs_hot_pixels_gap(bs_hot_pixels_state *state);

/* Takes `count` events: t in microseconds, ascending, places and polarity. Writes those that it gives to out_*, room for as many as
 * are taken; an output may be the input of the same kind. Returns how many. */
int32_t bs_hot_pixels_process(const bs_hot_pixels_tables *tables, bs_hot_pixels_state *state,
                              const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                              int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count);

#endif
