/* Pooling to a coarse grid: each cell, for each polarity, is a leaky integrate-and-fire neuron that its pixels' events drive. */
#ifndef BS_POOLING_H
#define BS_POOLING_H

#include "bitspike/config.h"

#define BS_POOLING_ENTRIES 64

typedef struct { /* what the parameters become */
    uint32_t cell;      /* pixels along x and along y */
    uint32_t step;      /* the decay is in steps of 2^step microseconds */
    uint32_t threshold; /* 8 fractional bits */
    uint32_t width;     /* of the sensor */
    uint32_t height;
    uint32_t coarse[BS_POOLING_ENTRIES]; /* Q15: decay of multiples of 64 steps, and of 1 step */
    uint32_t fine[BS_POOLING_ENTRIES];
} bs_pooling_tables;

typedef struct { /* what one block leaves for the next; all zero to start */
    uint32_t tick;    /* of the surface's last refresh */
    uint32_t outside; /* events outside the sensor */
    uint32_t last[2 * BS_MAX_ROWS][BS_MAX_COLUMNS]; /* until when a cell has decayed: those of brighter events below the others */
    uint32_t v[2 * BS_MAX_ROWS][BS_MAX_COLUMNS];    /* 8 fractional bits */
} bs_pooling_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_pooling_init(const bs_pooling_tables *tables, bs_pooling_state *state);

/* Forgets everything. */
void bs_pooling_reset(bs_pooling_state *state);

/* Takes `count` events: t in microseconds, ascending, places and polarity. Writes those that it gives to out_*, room for as many as
 * are taken; an output may be the input of the same kind. Returns how many. */
int32_t bs_pooling_process(const bs_pooling_tables *tables, bs_pooling_state *state,
                           const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                           int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count);

#endif
