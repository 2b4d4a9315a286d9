/* Particle tracker: finds each particle that passes, event by event, and hands its events on in a fixed form. */
#ifndef BS_TRACKER_H
#define BS_TRACKER_H

#include "bitspike/config.h"

#define BS_TRACK_FIELDS 38
#define BS_TRACKER_LIMITS 9
#define BS_TRACKER_RECENT 64u
#define BS_SEED_ROWS ((BS_MAX_ROWS >> 2) + 1) /* cells of 4 pixels at the least */
#define BS_SEED_COLUMNS ((BS_MAX_COLUMNS >> 2) + 1)

typedef struct { /* what the parameters become */
    uint32_t width; /* of the sensor */
    uint32_t height;
    uint32_t seed_shift;  /* a seed's cell has 2^seed_shift pixels along each axis; 2 to 8 */
    uint32_t seed_events; /* that begin a track if they come within seed_us */
    uint32_t seed_us;
    int32_t reach_x; /* pixels from a track's middle */
    int32_t reach_y;
    int32_t merge_fine; /* distance at which tracks are one, 1/256 pixel; 0: never */
    int32_t speed;      /* expected along x, 1/256 pixel a bin */
    int32_t bin_us;
    int32_t busy;      /* events of a bin, below which it is idle */
    int32_t idle_bins; /* that end a track */
    int32_t most;      /* tracks */
    int32_t hump_ratio;
    int32_t split_ratio;
    uint32_t marks; /* events that mark a passage: 1 darker ones, 2 brighter ones, 3 both */
    uint32_t grid_columns; /* of the tensor */
    uint32_t grid_rows;
    uint32_t extent_x; /* what the grid covers, pixels and microseconds */
    uint32_t extent_y;
    uint32_t extent_us;
    uint32_t cell_factor; /* reciprocals, 2^-22 */
    uint32_t step_factor;
    uint32_t follow; /* 1: the grid goes with the particle */
    int32_t half_x;
    int32_t half_y;
    int32_t limits[BS_TRACKER_LIMITS]; /* least events; longer, larger, heavier by percent; the gate's events, sizes, and whether alone */
    uint32_t size;                     /* bytes of a tensor */
} bs_tracker_tables;

typedef struct { /* what one block leaves for the next; all zero to start */
    uint32_t due;       /* when the next bin ends */
    uint32_t active;    /* tracks */
    uint32_t passages;  /* begun so far */
    uint32_t discarded; /* that were no particles */
    uint32_t missed;    /* that there was no track for */
    uint32_t outside;   /* events outside the sensor */
    uint32_t learned;   /* passages in `recent`; from BS_TRACKER_RECENT on it says only which one is the oldest */
    int32_t recent[4][BS_TRACKER_RECENT]; /* duration in microseconds, sizes in sixteenths of a pixel, weight */
    uint32_t seed_time[BS_SEED_ROWS][BS_SEED_COLUMNS];
    uint16_t seed_count[BS_SEED_ROWS][BS_SEED_COLUMNS];
    int32_t tracks[BS_MAX_TRACKS][BS_TRACK_FIELDS];
    uint8_t tensors[BS_MAX_TRACKS][BS_MAX_TENSOR_BYTES];
} bs_tracker_state;

enum { /* columns of a record; times are those of the clock of 32 bits, places sixteenths of a pixel, velocities pixels a second */
    BS_RECORD_NUMBER, BS_RECORD_FIRST, BS_RECORD_LAST, BS_RECORD_CLOSED, BS_RECORD_X0, BS_RECORD_Y0, BS_RECORD_X1, BS_RECORD_Y1,
    BS_RECORD_OFF, BS_RECORD_ON, BS_RECORD_VX, BS_RECORD_VY, BS_RECORD_SIZE_X, BS_RECORD_SIZE_Y, BS_RECORD_LEFT, BS_RECORD_TOP,
    BS_RECORD_RIGHT, BS_RECORD_BOTTOM, BS_RECORD_FLAGS, BS_RECORD_GATE, BS_RECORD_FIELDS
};

enum { BS_DOUBLET = 1, BS_MERGED = 2, BS_SPLIT = 4 }; /* flags of a record */

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_tracker_init(const bs_tracker_tables *tables, bs_tracker_state *state);

/* Forgets everything. */
void bs_tracker_reset(bs_tracker_state *state);

/* Forgets the particles that are passing, and keeps what was learned and counted. */
void bs_tracker_gap(bs_tracker_state *state);

/* Follows `count` events until time `stop`, the low 32 bits of microseconds: t ascending, places, polarity. Writes what is closed
 * to out: [room][BS_RECORD_FIELDS], and its tensors to out_tensor: [room][size of the tables]; room for as many as there can be
 * tracks, one more, and one for each least number of events of a particle among `count`. Returns how many. */
int32_t bs_tracker_process(const bs_tracker_tables *tables, bs_tracker_state *state,
                           const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                           int32_t *out, uint8_t *out_tensor, uint32_t count, uint32_t stop);

#endif
