/* Refractory filter: after an event that is kept, those of its pixel are dropped for a while. */
#ifndef BS_REFRACTORY_H
#define BS_REFRACTORY_H

#include "bitspike/config.h"

typedef struct { /* what the parameters become */
    uint32_t period; /* microseconds */
    uint32_t width;  /* of the sensor */
    uint32_t height;
} bs_refractory_tables;

typedef struct { /* what one block leaves for the next; all zero to start */
    uint32_t tick;    /* of the surface's last refresh */
    uint32_t outside; /* events outside the sensor */
    uint32_t dropped;
    uint32_t last[BS_MAX_ROWS][BS_MAX_COLUMNS]; /* each pixel's last event that was kept */
} bs_refractory_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_refractory_init(const bs_refractory_tables *tables, bs_refractory_state *state);

/* Forgets everything. */
void bs_refractory_reset(bs_refractory_state *state);

/* Takes `count` events: t in microseconds, ascending, places and polarity. Writes those that it gives to out_*, room for as many as
 * are taken; an output may be the input of the same kind. Returns how many. */
int32_t bs_refractory_process(const bs_refractory_tables *tables, bs_refractory_state *state,
                              const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                              int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count);

#endif
