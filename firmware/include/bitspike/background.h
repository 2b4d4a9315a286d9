/* Background-activity filter: keeps an event if enough of its eight neighbours had one shortly before. */
#ifndef BS_BACKGROUND_H
#define BS_BACKGROUND_H

#include "bitspike/config.h"

typedef struct { /* what the parameters become */
    uint32_t window;     /* microseconds */
    uint32_t neighbours; /* 1 to 8 */
    uint32_t width;      /* of the sensor */
    uint32_t height;
} bs_background_tables;

typedef struct { /* what one block leaves for the next; all zero to start */
    uint32_t tick;    /* of the surface's last refresh */
    uint32_t last[BS_MAX_ROWS + 2][BS_MAX_COLUMNS + 2]; /* each pixel's last event, with a margin of 1 */
    uint32_t outside; /* events outside the sensor */
} bs_background_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_background_init(const bs_background_tables *tables, bs_background_state *state);

/* Forgets everything. */
void bs_background_reset(bs_background_state *state);

/* Takes `count` events: t in microseconds, ascending, places and polarity. Writes those that it gives to out_*, room for as many as
 * are taken; an output may be the input of the same kind. Returns how many. */
int32_t bs_background_process(const bs_background_tables *tables, bs_background_state *state,
                              const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                              int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count);

#endif
