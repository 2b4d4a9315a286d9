/* Region of interest and mounting: crops the sensor, then exchanges its axes, then mirrors them. */
#ifndef BS_REGION_H
#define BS_REGION_H

#include "bitspike/config.h"

typedef struct { /* what the parameters become */
    uint32_t left;      /* the region */
    uint32_t top;
    uint32_t width;
    uint32_t height;
    uint32_t transpose; /* 1: exchange x and y */
    uint32_t flip_x;    /* 1: mirror, afterwards */
    uint32_t flip_y;
} bs_region_tables;

typedef struct { /* what one block leaves for the next; all zero to start */
    uint32_t outside; /* events outside the region */
} bs_region_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_region_init(const bs_region_tables *tables, bs_region_state *state);

/* Forgets everything. */
void bs_region_reset(bs_region_state *state);

/* Takes `count` events: t in microseconds, ascending, places and polarity. Writes those that it gives to out_*, room for as many as
 * are taken; an output may be the input of the same kind. Returns how many. */
int32_t bs_region_process(const bs_region_tables *tables, bs_region_state *state,
                          const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                          int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count);

#endif
