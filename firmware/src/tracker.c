/* Particle tracker; pipeline/events/tracker.py, clusters.py, tensor.py and gate.py are the same text in Python. */
#include "bitspike/fixed.h"
#include "bitspike/tracker.h"

enum { /* columns of a track */
    ACTIVE, NUMBER, FIRST, LAST, X, Y, VX, VY, OFF, ON, LEFT, TOP, RIGHT, BOTTOM, SPREAD_X, SPREAD_Y, DUE, BIN_N, BIN_X, BIN_Y,
    BIN_LAST, BINS, IDLE, PEAK, VALLEY, FLAGS, BUSY, BEGIN_X, BEGIN_Y, END_X, END_Y, S_T, S_X, S_Y, S_TT, S_TX, S_TY, FIELDS
};

#define FINE 8 /* fractional bits of a track's middle and velocity */
#define MOST_BINS 200
#define MOST_EVENTS (1 << 20) /* of a track before it is cut */
#define MOST_BIN (1 << 19)    /* events of a bin that are summed */
#define MOST_REACH 1280
#define SHIFT 22 /* of reciprocals */
#define LEARNED 8u
#define PER_SECOND 1000000

_Static_assert(FIELDS == BS_TRACK_FIELDS, "tracker.h: columns of a track");

/* Whether time `a` is at `b` or after it. */
static int reached(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) >= 0;
}

static int32_t least_of(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t most_of(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

static int32_t distance(int32_t a, int32_t b)
{
    return (int32_t)bs_size(bs_subtract(a, b));
}

/* Makes a row a track that begins at time `now` with its middle at (x, y). */
static void begin(int32_t *track, uint32_t number, uint32_t now, int32_t x, int32_t y, int32_t speed, uint32_t bin_us)
{
    for (uint32_t k = 0; k < FIELDS; k++) {
        track[k] = 0;
    }
    track[ACTIVE] = 1;
    track[NUMBER] = (int32_t)number;
    track[FIRST] = track[LAST] = track[BIN_LAST] = (int32_t)now;
    track[X] = bs_shift_left(x, FINE);
    track[Y] = bs_shift_left(y, FINE);
    track[VX] = speed;
    track[LEFT] = track[TOP] = 32767;
    track[RIGHT] = track[BOTTOM] = -1;
    track[DUE] = (int32_t)(now + bin_us);
}

/* Adds an event to a track. */
BS_INLINE void take(int32_t *track, uint32_t now, int32_t x, int32_t y, uint32_t polarity)
{
    if (BS_SELDOM(track[BIN_N] >= MOST_BIN)) {
        return;
    }
    track[OFF + polarity]++;
    track[LEFT] = least_of(track[LEFT], x);
    track[RIGHT] = most_of(track[RIGHT], x);
    track[TOP] = least_of(track[TOP], y);
    track[BOTTOM] = most_of(track[BOTTOM], y);
    track[SPREAD_X] = bs_add(track[SPREAD_X], distance(x, track[X] >> FINE));
    track[SPREAD_Y] = bs_add(track[SPREAD_Y], distance(y, track[Y] >> FINE));
    track[BIN_N]++;
    track[BIN_X] = bs_add(track[BIN_X], x);
    track[BIN_Y] = bs_add(track[BIN_Y], y);
    track[BIN_LAST] = (int32_t)now;
}

/* Ends a track's bin; returns 1 if a new particle begins with it, whose track this one must make room for. */
static int end_bin(const bs_tracker_tables *tables, int32_t *track)
{
    const int32_t n = track[BIN_N];
    int follows = 0;
    int32_t x = track[X], y = track[Y];
    if (n >= tables->busy) {
        const int32_t mean_x = (int32_t)((int64_t)track[BIN_X] * 16 / n), mean_y = (int32_t)((int64_t)track[BIN_Y] * 16 / n);
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
    track[X] = bs_add(x, track[VX]); /* where it will be in the middle of the next bin */
    track[Y] = bs_add(y, track[VY]);
    if (n >= track[PEAK]) {
        track[PEAK] = track[VALLEY] = n;
    } else if (n < track[VALLEY]) {
        track[VALLEY] = n;
    } else if (n - track[VALLEY] >= tables->busy && n >= (int64_t)2 * track[VALLEY]) {
        if ((int64_t)tables->split_ratio * track[VALLEY] <= track[PEAK]) {
            follows = 1;
        } else if ((int64_t)tables->hump_ratio * track[VALLEY] <= track[PEAK]) {
            track[FLAGS] |= BS_DOUBLET;
            track[PEAK] = track[VALLEY] = n;
        }
    }
    track[BINS]++;
    track[DUE] = (int32_t)((uint32_t)track[DUE] + (uint32_t)tables->bin_us);
    track[BIN_N] = track[BIN_X] = track[BIN_Y] = 0;
    return follows;
}

/* Lets a track take in a younger one, which was a particle if it had `least` events, and else a piece of the same. */
static void merge(int32_t *one, int32_t *other, int32_t least, uint8_t *tensor, const uint8_t *other_tensor)
{
    if (bs_add(other[OFF], other[ON]) >= least) {
        one[FLAGS] |= BS_MERGED | BS_DOUBLET;
    }
    one[OFF] = bs_add(one[OFF], other[OFF]);
    one[ON] = bs_add(one[ON], other[ON]);
    one[LEFT] = least_of(one[LEFT], other[LEFT]);
    one[RIGHT] = most_of(one[RIGHT], other[RIGHT]);
    one[TOP] = least_of(one[TOP], other[TOP]);
    one[BOTTOM] = most_of(one[BOTTOM], other[BOTTOM]);
    one[SPREAD_X] = bs_add(one[SPREAD_X], other[SPREAD_X]);
    one[SPREAD_Y] = bs_add(one[SPREAD_Y], other[SPREAD_Y]);
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

/* A typical value, moved by a 64th toward another, by one at least; the first one is taken over. */
static int32_t toward(int32_t typical, int64_t value)
{
    if (typical == 0) {
        return (int32_t)value;
    }
    const int32_t step = most_of(typical >> 6, 1);
    return typical + (value > typical ? step : value < typical ? -step : 0);
}

/* Sets the bit of an event at pixel (u, v) of the grid, `past` microseconds after the first one. */
BS_INLINE void mark(const bs_tracker_tables *tables, uint8_t *tensor, int32_t u, int32_t v, uint32_t past, uint32_t polarity)
{
    if ((uint32_t)u < tables->extent_x && (uint32_t)v < tables->extent_y && past < tables->extent_us) {
        const uint32_t column = (uint32_t)u * tables->cell_factor >> SHIFT, row = (uint32_t)v * tables->cell_factor >> SHIFT;
        const uint32_t step = past * tables->step_factor >> SHIFT;
        const uint32_t k = ((step * 2u + polarity) * tables->grid_rows + row) * tables->grid_columns + column;
        tensor[k >> 3] = (uint8_t)(tensor[k >> 3] | 1u << (k & 7u));
    }
}

/* Writes a track's record, learns from it and frees the track; returns 1, or 0 if it was no particle. */
static uint32_t finish(const bs_tracker_tables *tables, bs_tracker_state *state, uint32_t number, uint32_t closed, int32_t *record,
                       uint8_t *record_tensor)
{
    int32_t *const track = state->tracks[number];
    const int32_t *const limits = tables->limits;
    track[ACTIVE] = 0;
    const int64_t events = (int64_t)track[OFF] + track[ON];
    if (events < limits[0] || track[BUSY] < 2) {
        return 0;
    }
    const int64_t n = track[BUSY], st = track[S_T], stt = track[S_TT], below = (n * stt - st * st) * 16 * tables->bin_us;
    const int64_t lasted = (int64_t)((uint32_t)track[LAST] - (uint32_t)track[FIRST]);
    const int64_t size_x = (int64_t)track[SPREAD_X] * 32 / events, size_y = (int64_t)track[SPREAD_Y] * 32 / events;
    int32_t flags = track[FLAGS];
    if (state->learned >= LEARNED) {
        if ((limits[1] != 0 && 100 * lasted > (100 + (int64_t)limits[1]) * state->typical[0])
            || (limits[2] != 0 && 100 * size_x > (100 + (int64_t)limits[2]) * state->typical[1])
            || (limits[2] != 0 && 100 * size_y > (100 + (int64_t)limits[2]) * state->typical[2])) {
            flags |= BS_DOUBLET;
        }
    }
    if ((flags & (BS_DOUBLET | BS_SPLIT)) == 0 || state->learned < LEARNED) {
        state->typical[0] = toward(state->typical[0], lasted);
        state->typical[1] = toward(state->typical[1], size_x);
        state->typical[2] = toward(state->typical[2], size_y);
        if (state->learned < LEARNED) {
            state->learned++;
        }
    }
    record[BS_RECORD_NUMBER] = track[NUMBER];
    record[BS_RECORD_FIRST] = track[FIRST];
    record[BS_RECORD_LAST] = track[LAST];
    record[BS_RECORD_CLOSED] = (int32_t)closed;
    record[BS_RECORD_X0] = track[BEGIN_X];
    record[BS_RECORD_Y0] = track[BEGIN_Y];
    record[BS_RECORD_X1] = track[END_X];
    record[BS_RECORD_Y1] = track[END_Y];
    record[BS_RECORD_OFF] = track[OFF];
    record[BS_RECORD_ON] = track[ON];
    record[BS_RECORD_VX] = (int32_t)((n * track[S_TX] - st * track[S_X]) * PER_SECOND / below);
    record[BS_RECORD_VY] = (int32_t)((n * track[S_TY] - st * track[S_Y]) * PER_SECOND / below);
    record[BS_RECORD_SIZE_X] = (int32_t)size_x;
    record[BS_RECORD_SIZE_Y] = (int32_t)size_y;
    record[BS_RECORD_LEFT] = track[LEFT];
    record[BS_RECORD_TOP] = track[TOP];
    record[BS_RECORD_RIGHT] = track[RIGHT];
    record[BS_RECORD_BOTTOM] = track[BOTTOM];
    record[BS_RECORD_FLAGS] = flags;
    record[BS_RECORD_GATE] = events >= limits[3] && events <= limits[4] && size_x >= limits[5] && size_x <= limits[6]
        && size_y >= limits[5] && size_y <= limits[6] && (limits[7] == 0 || (flags & BS_DOUBLET) == 0);
    for (uint32_t k = 0; k < tables->size; k++) {
        record_tensor[k] = state->tensors[number][k];
    }
    return 1;
}

/* Merges a track with those that it has come close to; the older one stays. */
static void merge_near(const bs_tracker_tables *tables, bs_tracker_state *state, uint32_t k)
{
    for (uint32_t j = 0; tables->merge_fine != 0 && j < (uint32_t)tables->most; j++) {
        int32_t *const mine = state->tracks[k], *const near = state->tracks[j];
        if (j == k || near[ACTIVE] == 0 || distance(near[X], mine[X]) > tables->merge_fine
            || distance(near[Y], mine[Y]) > tables->merge_fine) {
            continue;
        }
        state->active--;
        if ((int32_t)((uint32_t)near[NUMBER] - (uint32_t)mine[NUMBER]) < 0) {
            merge(near, mine, tables->limits[0], state->tensors[j], state->tensors[k]);
            return;
        }
        merge(mine, near, tables->limits[0], state->tensors[k], state->tensors[j]);
    }
}

/* Ends a track's bin at time `now`, and the track with it where it is over; returns the number of records. */
static uint32_t advance(const bs_tracker_tables *tables, bs_tracker_state *state, uint32_t k, uint32_t now, int32_t *record,
                        uint8_t *record_tensor)
{
    int32_t *const track = state->tracks[k];
    const int follows = end_bin(tables, track);
    merge_near(tables, state, k);
    if (track[ACTIVE] == 0) {
        return 0;
    }
    const int full = track[BINS] >= MOST_BINS || bs_add(track[OFF], track[ON]) >= MOST_EVENTS;
    if (!follows && !full && track[IDLE] < tables->idle_bins) {
        return 0;
    }
    const int32_t x = track[X] >> FINE, y = track[Y] >> FINE;
    if (follows) {
        track[FLAGS] |= BS_SPLIT;
    }
    const uint32_t made = finish(tables, state, k, now, record, record_tensor);
    state->discarded += 1u - made;
    if (follows || full) {
        begin(track, state->passages, now, x, y, tables->speed, (uint32_t)tables->bin_us);
        track[FLAGS] = BS_SPLIT;
        bs_clear(state->tensors[k], BS_MAX_TENSOR_BYTES);
        state->passages++;
    } else {
        state->active--;
    }
    return made;
}

/* Ends all bins that are due at time `until` or before, in order of time; returns the number of records. */
static uint32_t end_bins(const bs_tracker_tables *tables, bs_tracker_state *state, uint32_t until, int32_t *out,
                         uint8_t *out_tensor, uint32_t found)
{
    while (state->active != 0 && reached(until, state->due)) {
        const uint32_t now = state->due;
        for (uint32_t k = 0; k < (uint32_t)tables->most; k++) {
            if (state->tracks[k][ACTIVE] != 0 && (uint32_t)state->tracks[k][DUE] == now) {
                found += advance(tables, state, k, now, out + BS_RECORD_FIELDS * found, out_tensor + tables->size * found);
            }
        }
        int first = 1;
        for (uint32_t k = 0; k < (uint32_t)tables->most; k++) {
            const uint32_t at = (uint32_t)state->tracks[k][DUE];
            if (state->tracks[k][ACTIVE] != 0 && (first || !reached(at, state->due))) {
                state->due = at;
                first = 0;
            }
        }
    }
    return found;
}

/* The track whose middle is nearest, within reach, or -1. */
BS_INLINE int32_t nearest(const bs_tracker_tables *tables, const bs_tracker_state *state, int32_t column, int32_t row)
{
    int32_t mine = -1, least = 1 << 30;
    for (int32_t k = 0; state->active != 0 && k < tables->most; k++) {
        const int32_t *const track = state->tracks[k];
        if (track[ACTIVE] != 0) {
            const int32_t apart_x = distance(column, track[X] >> FINE), apart_y = distance(row, track[Y] >> FINE);
            if (apart_x <= tables->reach_x && apart_y <= tables->reach_y && apart_x + apart_y < least) {
                mine = k;
                least = apart_x + apart_y;
            }
        }
    }
    return mine;
}

/* Counts an event of no track in its cell; returns the number of the track that it begins, or -1. */
static int32_t seeded(const bs_tracker_tables *tables, bs_tracker_state *state, uint32_t now, int32_t column, int32_t row)
{
    const int32_t v = row >> tables->seed_shift, u = column >> tables->seed_shift;
    uint32_t *const time = &state->seed_time[v][u];
    uint16_t *const count = &state->seed_count[v][u];
    if (now - *time > tables->seed_us || *count == 0) {
        *time = now;
        *count = 0;
    }
    *count = (uint16_t)(*count + 1u);
    if (*count < tables->seed_events) {
        return -1;
    }
    *count = 0;
    int32_t mine = 0;
    while (mine < tables->most && state->tracks[mine][ACTIVE] != 0) {
        mine++;
    }
    if (mine == tables->most) {
        state->missed++;
        return -1;
    }
    begin(state->tracks[mine], state->passages, *time, column, row, tables->speed, (uint32_t)tables->bin_us);
    const uint32_t due = now + (uint32_t)tables->bin_us;
    state->tracks[mine][DUE] = (int32_t)due;
    bs_clear(state->tensors[mine], BS_MAX_TENSOR_BYTES);
    state->passages++;
    if (state->active == 0 || !reached(due, state->due)) {
        state->due = due;
    }
    state->active++;
    return mine;
}

int32_t bs_tracker_init(const bs_tracker_tables *tables, bs_tracker_state *state)
{
    bs_tracker_reset(state);
    const uint64_t bits = (uint64_t)tables->size * 8;
    const uint64_t columns = (uint64_t)tables->extent_x * tables->cell_factor >> SHIFT;
    const uint64_t rows = (uint64_t)tables->extent_y * tables->cell_factor >> SHIFT;
    const uint64_t steps = (uint64_t)tables->extent_us * tables->step_factor >> SHIFT;
    return tables->width >= 1 && tables->width <= BS_MAX_COLUMNS && tables->height >= 1 && tables->height <= BS_MAX_ROWS
        && tables->seed_shift >= 2 && tables->seed_shift <= 8 && tables->seed_events >= 1 && tables->seed_events <= 65535
        && tables->reach_x >= 1 && tables->reach_x <= MOST_REACH && tables->reach_y >= 1 && tables->reach_y <= MOST_REACH
        && tables->merge_fine >= 0 && tables->bin_us >= 1 && tables->bin_us <= 1000 && tables->busy >= 1 && tables->busy <= 10000
        && tables->idle_bins >= 1 && tables->idle_bins <= 100 && tables->most >= 1 && tables->most <= BS_MAX_TRACKS
        && tables->hump_ratio >= 2 && tables->hump_ratio <= 1000 && tables->split_ratio >= 2 && tables->split_ratio <= 1000
        && tables->size >= 1 && tables->size <= BS_MAX_TENSOR_BYTES && tables->grid_columns >= 1 && tables->grid_columns <= 255
        && tables->grid_rows >= 1 && tables->grid_rows <= 255 && columns <= tables->grid_columns && rows <= tables->grid_rows
        && steps <= 255 && steps * 2 * tables->grid_rows * tables->grid_columns <= bits && tables->limits[0] >= 1
        ? 0 : BS_BAD_TABLES;
}

void bs_tracker_reset(bs_tracker_state *state)
{
    bs_clear(state, sizeof *state);
}

void bs_tracker_gap(bs_tracker_state *state)
{
    const uint32_t passages = state->passages, discarded = state->discarded, missed = state->missed, learned = state->learned;
    const int32_t lasts = state->typical[0], size_x = state->typical[1], size_y = state->typical[2];
    bs_tracker_reset(state);
    state->passages = passages;
    state->discarded = discarded;
    state->missed = missed;
    state->learned = learned;
    state->typical[0] = lasts;
    state->typical[1] = size_x;
    state->typical[2] = size_y;
}

int32_t bs_tracker_process(const bs_tracker_tables *tables, bs_tracker_state *state,
                           const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p,
                           int32_t *out, uint8_t *out_tensor, uint32_t count, uint32_t stop)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        const int32_t column = x[i], row = y[i];
        if (BS_SELDOM((uint32_t)column >= tables->width || (uint32_t)row >= tables->height)) {
            state->outside++;
            continue;
        }
        const uint32_t now = (uint32_t)t[i], polarity = p[i] != 0;
        if (state->active != 0 && reached(now, state->due)) {
            found = end_bins(tables, state, now, out, out_tensor, found);
        }
        int32_t mine = nearest(tables, state, column, row);
        if (mine < 0) {
            mine = seeded(tables, state, now, column, row);
            if (mine < 0) {
                continue;
            }
        }
        int32_t *const track = state->tracks[mine];
        take(track, now, column, row, polarity);
        int32_t u = column, v = row;
        if (tables->follow) {
            u = bs_add(bs_subtract(column, track[X] >> FINE), tables->half_x);
            v = bs_add(bs_subtract(row, track[Y] >> FINE), tables->half_y);
        }
        mark(tables, state->tensors[mine], u, v, now - (uint32_t)track[FIRST], polarity);
    }
    return (int32_t)end_bins(tables, state, stop, out, out_tensor, found);
}
