/* Spatio-temporal correlation filter: keeps an event if enough pixels around it had one of its polarity shortly before. */
#ifndef BS_CORRELATION_H
#define BS_CORRELATION_H

#include "bitspike/config.h"

#define BS_CORRELATION_MARGIN 3
#define BS_CORRELATION_PLANE (BS_MAX_ROWS + 2 * BS_CORRELATION_MARGIN) /* rows of a polarity's surface */

typedef struct { /* what the parameters become */
    uint32_t window;     /* microseconds */
    uint32_t radius;     /* 1 to BS_CORRELATION_MARGIN */
    uint32_t support;    /* pixels that must have had an event */
    uint32_t polarities; /* whether polarities are told apart */
    uint32_t width;      /* of the sensor */
    uint32_t height;
} bs_correlation_tables;

typedef struct { /* what one block leaves for the next; all zero to start */
    uint32_t tick;    /* of the surfaces' last refresh */
    uint32_t outside; /* events outside the sensor */
    uint32_t last[2 * BS_CORRELATION_PLANE][BS_MAX_COLUMNS + 2 * BS_CORRELATION_MARGIN]; /* darker above brighter */
} bs_correlation_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_correlation_init(const bs_correlation_tables *tables, bs_correlation_state *state);

/* Forgets everything. */
void bs_correlation_reset(bs_correlation_state *state);

/* Takes `count` events: t in microseconds, ascending, places and polarity. Writes those that it gives to out_*, room for as many as
 * are taken; an output may be the input of the same kind. Returns how many. */
int32_t bs_correlation_process(const bs_correlation_tables *tables, bs_correlation_state *state,
                               const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                               int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count);

#endif
