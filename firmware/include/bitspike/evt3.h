/* EVT3, Prophesee's vectorised format of 16-bit words: its decoder. sensors/events/evt3.py begins with the format. */
#ifndef BS_EVT3_H
#define BS_EVT3_H

#include "bitspike/words.h"

#define BS_EVT3_MOST 12 /* events of one word */

typedef struct {
    uint32_t width; /* of the sensor */
    uint32_t height;
} bs_evt3_tables;

typedef struct { /* what some bytes leave for the next; all zero to start */
    int64_t time;       /* of the next event, microseconds */
    int64_t base;       /* its part above TIME_LOW */
    uint32_t x;         /* column where the next vector begins */
    uint32_t y;         /* row of the next event */
    uint32_t p;         /* polarity of the next vector */
    uint32_t started;   /* 1 once there was a TIME_HIGH */
    uint32_t early;     /* words before that */
    uint32_t outside;   /* events outside the sensor */
    uint32_t unknown;   /* words of no defined type */
    uint32_t refused;   /* TIME_HIGH words that were not believed */
    uint32_t held;      /* TIME_LOW words that would have set the time back */
    uint32_t triggers;
    uint32_t others;    /* vendors' words and exposure measurements */
    bs_words words;
    uint8_t waited[2 * BS_LOOK]; /* words that wait until a time is believed */
} bs_evt3_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_evt3_init(const bs_evt3_tables *tables, bs_evt3_state *state);

/* Forgets everything. */
void bs_evt3_reset(bs_evt3_state *state);

/* Takes up to `count` bytes of the stream, which may be cut anywhere, and writes events: room for BS_EVT3_MOST at the least. Sets
 * `taken`: fewer than `count` where there was no more room; the others are to be given again. With `final`, when nothing comes after
 * these bytes, what waits is decoded too: call it until it gives none. Returns how many events, or BS_NO_ROOM. */
int32_t bs_evt3_process(const bs_evt3_tables *tables, bs_evt3_state *state, const uint8_t *bytes,
                        int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t *taken,
                        uint32_t count, uint32_t room, uint32_t final);

/* The low 32 bits of the time before which no event comes any more. */
uint32_t bs_evt3_clock(const bs_evt3_state *state);

#endif
