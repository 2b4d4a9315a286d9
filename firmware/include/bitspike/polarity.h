/* Polarity selection. */
#ifndef BS_POLARITY_H
#define BS_POLARITY_H

#include "bitspike/config.h"

typedef struct { /* what the parameters become */
    uint32_t kept;   /* a bit for each polarity */
    uint32_t invert; /* 1: exchange the polarities of what is kept */
} bs_polarity_tables;

typedef struct { /* what one block leaves for the next; all zero to start */
    uint32_t dropped;
} bs_polarity_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_polarity_init(const bs_polarity_tables *tables, bs_polarity_state *state);

/* Forgets everything. */
void bs_polarity_reset(bs_polarity_state *state);

/* Takes `count` events: t in microseconds, ascending, places and polarity. Writes those that it gives to out_*, room for as many as
 * are taken; an output may be the input of the same kind. Returns how many. */
int32_t bs_polarity_process(const bs_polarity_tables *tables, bs_polarity_state *state,
                            const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                            int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count);

#endif
