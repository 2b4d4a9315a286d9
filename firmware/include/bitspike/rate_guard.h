/* Event-rate guard: passes at most so many events a second, and counts what it drops; it never waits. */
#ifndef BS_RATE_GUARD_H
#define BS_RATE_GUARD_H

#include "bitspike/config.h"

typedef struct { /* what the parameters become */
    uint32_t refill;  /* of the bucket in a microsecond, 2^-16 tokens */
    uint32_t size;    /* of the bucket, 2^-16 tokens */
    uint32_t full_us; /* after which an empty bucket is full */
} bs_rate_guard_tables;

typedef struct { /* what one block leaves for the next; all zero to start */
    uint32_t clock; /* of the last event */
    uint32_t used;  /* what is missing from the bucket, 2^-16 tokens */
    uint32_t dropped;
} bs_rate_guard_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_rate_guard_init(const bs_rate_guard_tables *tables, bs_rate_guard_state *state);

/* Forgets everything. */
void bs_rate_guard_reset(bs_rate_guard_state *state);

/* Takes `count` events: t in microseconds, ascending, places and polarity. Writes those that it gives to out_*, room for as many as
 * are taken; an output may be the input of the same kind. Returns how many. */
int32_t bs_rate_guard_process(const bs_rate_guard_tables *tables, bs_rate_guard_state *state,
                              const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                              int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t count);

#endif
