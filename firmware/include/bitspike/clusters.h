/* Clusters and records: what the tracker knows of each particle that is passing, and what it tells of it when that is over.
 * Of the library only tracker.c, clusters.c and records.c include this; pipeline/events/clusters.py is the same text in Python. */
#ifndef BS_CLUSTERS_H
#define BS_CLUSTERS_H

#include "bitspike/fixed.h"
#include "bitspike/tracker.h"

enum { /* columns of a track */
    ACTIVE, NUMBER, FIRST, LAST, X, Y, VX, VY, OFF, ON, LEFT, TOP, RIGHT, BOTTOM, SPREAD_X, SPREAD_Y, DUE, BIN_N, BIN_X, BIN_Y,
    BIN_LAST, BINS, IDLE, PEAK, VALLEY, FLAGS, BUSY, BEGIN_X, BEGIN_Y, END_X, END_Y, S_T, S_X, S_Y, S_TT, S_TX, S_TY, MARKED, FIELDS
};

#define FINE 8                /* fractional bits of a track's middle and velocity */
#define MOST_BIN (1 << 19)    /* events of a bin that are summed */

_Static_assert(FIELDS == BS_TRACK_FIELDS, "tracker.h: columns of a track");

BS_INLINE int32_t bs_least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

BS_INLINE int32_t bs_most(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

BS_INLINE int32_t bs_apart(int32_t a, int32_t b)
{
    return (int32_t)bs_size(bs_subtract(a, b));
}

/* Adds an event to a track. */
BS_INLINE void bs_track_take(int32_t *track, uint32_t now, int32_t x, int32_t y, uint32_t polarity)
{
    if (BS_SELDOM(track[BIN_N] >= MOST_BIN)) {
        return;
    }
    track[OFF + polarity]++;
    track[LEFT] = bs_least(track[LEFT], x);
    track[RIGHT] = bs_most(track[RIGHT], x);
    track[TOP] = bs_least(track[TOP], y);
    track[BOTTOM] = bs_most(track[BOTTOM], y);
    track[SPREAD_X] = bs_add(track[SPREAD_X], bs_apart(x, track[X] >> FINE));
    track[SPREAD_Y] = bs_add(track[SPREAD_Y], bs_apart(y, track[Y] >> FINE));
    track[BIN_N]++;
    track[BIN_X] = bs_add(track[BIN_X], x);
    track[BIN_Y] = bs_add(track[BIN_Y], y);
    track[BIN_LAST] = (int32_t)now;
}

/* Makes a row a track that begins at time `now` with its middle at (x, y). */
void bs_track_begin(int32_t *track, uint32_t number, uint32_t now, int32_t x, int32_t y, const bs_tracker_tables *tables);

/* Ends a track's bin; returns 1 if a new particle begins with it, whose track this one must make room for. */
int32_t bs_track_end_bin(const bs_tracker_tables *tables, int32_t *track);

/* Lets a track take in a younger one, which was a particle if it had `least` events, and else a piece of the same. */
void bs_track_merge(int32_t *one, int32_t *other, int32_t least, uint8_t *tensor, const uint8_t *other_tensor);

/* Writes the record of a track, by its number, learns from it and frees the track; returns 1, or 0 if it was no particle. */
uint32_t bs_track_finish(const bs_tracker_tables *tables, bs_tracker_state *state, uint32_t number, uint32_t closed, int32_t *record,
                         uint8_t *record_tensor);

#endif
