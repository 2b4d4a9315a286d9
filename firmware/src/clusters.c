/* What the tracker knows of each particle that is passing; pipeline/events/clusters.py is the same text in Python. */
#include "bitspike/clusters.h"

void bs_track_begin(int32_t *track, uint32_t number, uint32_t now, int32_t x, int32_t y, const bs_tracker_tables *tables)
{
    for (uint32_t k = 0; k < FIELDS; k++) {
        track[k] = 0;
    }
    track[ACTIVE] = 1;
    track[NUMBER] = (int32_t)number;
    track[FIRST] = track[LAST] = track[BIN_LAST] = (int32_t)now;
    track[X] = bs_shift_left(x, FINE);
    track[Y] = bs_shift_left(y, FINE);
    track[VX] = tables->speed;
    track[LEFT] = track[TOP] = 32767;
    track[RIGHT] = track[BOTTOM] = -1;
    track[DUE] = (int32_t)(now + (uint32_t)tables->bin_us);
}

int32_t bs_track_end_bin(const bs_tracker_tables *tables, int32_t *track)
{
    const int32_t events = track[BIN_N];
    const int32_t marked = bs_add((tables->marks & 1u) != 0 ? track[OFF] : 0, (tables->marks & 2u) != 0 ? track[ON] : 0);
    const int32_t n = bs_subtract(marked, track[MARKED]);
    if (n >= track[PEAK]) {
        track[PEAK] = track[VALLEY] = n;
    } else if (n < track[VALLEY]) {
        track[VALLEY] = n;
    } else if (bs_subtract(n, track[VALLEY]) >= tables->busy && n >= (int64_t)2 * track[VALLEY]) {
        if ((int64_t)tables->split_ratio * track[VALLEY] <= track[PEAK]) {
            return 1;
        }
        if ((int64_t)tables->hump_ratio * track[VALLEY] <= track[PEAK]) {
            track[FLAGS] |= BS_DOUBLET;
            track[PEAK] = track[VALLEY] = n;
        }
    }
    int32_t x = track[X], y = track[Y];
    if (n >= tables->busy) {
        const int32_t mean_x = (int32_t)((int64_t)track[BIN_X] * 16 / events);
        const int32_t mean_y = (int32_t)((int64_t)track[BIN_Y] * 16 / events);
        if (track[BUSY] == 0) {
            track[BEGIN_X] = mean_x;
            track[BEGIN_Y] = mean_y;
            x = bs_shift_left(mean_x, FINE - 4);
            y = bs_shift_left(mean_y, FINE - 4);
        } else {
            const int32_t miss_x = bs_subtract(bs_shift_left(mean_x, FINE - 4), x);
            const int32_t miss_y = bs_subtract(bs_shift_left(mean_y, FINE - 4), y);
            x = bs_add(x, miss_x >> 1);
            y = bs_add(y, miss_y >> 1);
            track[VX] = bs_add(track[VX], miss_x >> 3);
            track[VY] = bs_add(track[VY], miss_y >> 3);
        }
        track[END_X] = mean_x;
        track[END_Y] = mean_y;
        const int32_t bin = track[BINS];
        track[BUSY]++;
        track[S_T] += bin;
        track[S_X] = bs_add(track[S_X], mean_x);
        track[S_Y] = bs_add(track[S_Y], mean_y);
        track[S_TT] += bin * bin;
        track[S_TX] = bs_add(track[S_TX], (int32_t)((uint32_t)bin * (uint32_t)mean_x));
        track[S_TY] = bs_add(track[S_TY], (int32_t)((uint32_t)bin * (uint32_t)mean_y));
        track[LAST] = track[BIN_LAST];
        track[IDLE] = 0;
    } else {
        track[IDLE]++;
    }
    track[X] = bs_least(bs_most(bs_add(x, track[VX]), 0), (int32_t)(tables->width << FINE)); /* in the middle of the next bin */
    track[Y] = bs_least(bs_most(bs_add(y, track[VY]), 0), (int32_t)(tables->height << FINE));
    track[MARKED] = marked;
    track[BINS]++;
    track[DUE] = (int32_t)((uint32_t)track[DUE] + (uint32_t)tables->bin_us);
    track[BIN_N] = track[BIN_X] = track[BIN_Y] = 0;
    return 0;
}

void bs_track_merge(int32_t *one, int32_t *other, int32_t least, uint8_t *tensor, const uint8_t *other_tensor)
{
    if (bs_add(other[OFF], other[ON]) >= least) {
        one[FLAGS] |= BS_MERGED | BS_DOUBLET;
    }
    one[OFF] = bs_add(one[OFF], other[OFF]);
    one[ON] = bs_add(one[ON], other[ON]);
    one[LEFT] = bs_least(one[LEFT], other[LEFT]);
    one[RIGHT] = bs_most(one[RIGHT], other[RIGHT]);
    one[TOP] = bs_least(one[TOP], other[TOP]);
    one[BOTTOM] = bs_most(one[BOTTOM], other[BOTTOM]);
    one[SPREAD_X] = bs_add(one[SPREAD_X], other[SPREAD_X]);
    one[SPREAD_Y] = bs_add(one[SPREAD_Y], other[SPREAD_Y]);
    one[MARKED] = bs_add(one[MARKED], other[MARKED]);
    one[BIN_N] = bs_add(one[BIN_N], other[BIN_N]);
    one[BIN_X] = bs_add(one[BIN_X], other[BIN_X]);
    one[BIN_Y] = bs_add(one[BIN_Y], other[BIN_Y]);
    if ((int32_t)((uint32_t)other[BIN_LAST] - (uint32_t)one[BIN_LAST]) > 0) {
        one[BIN_LAST] = other[BIN_LAST];
    }
    if ((int32_t)((uint32_t)other[LAST] - (uint32_t)one[LAST]) > 0) {
        one[LAST] = other[LAST];
    }
    one[FLAGS] |= other[FLAGS];
    other[ACTIVE] = 0;
    for (uint32_t k = 0; k < BS_MAX_TENSOR_BYTES; k++) {
        tensor[k] |= other_tensor[k];
    }
}
