/* Particle tracker; pipeline/events/tracker.py and tensor.py are the same text in Python. */
#include "bitspike/clusters.h"

#define MOST_BINS 200
#define MOST_EVENTS (1 << 20) /* of a track before it is cut */
#define MOST_REACH 1280
#define SHIFT 22 /* of reciprocals */

/* Whether time `a` is at `b` or after it. */
static int reached(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) >= 0;
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

/* Merges a track with those that it has come close to; the older one stays. */
static void merge_near(const bs_tracker_tables *tables, bs_tracker_state *state, uint32_t k)
{
    for (uint32_t j = 0; tables->merge_fine != 0 && j < (uint32_t)tables->most; j++) {
        int32_t *const mine = state->tracks[k], *const near = state->tracks[j];
        if (j == k || near[ACTIVE] == 0 || bs_apart(near[X], mine[X]) > tables->merge_fine
            || bs_apart(near[Y], mine[Y]) > tables->merge_fine) {
            continue;
        }
        state->active--;
        if ((int32_t)((uint32_t)near[NUMBER] - (uint32_t)mine[NUMBER]) < 0) {
            bs_track_merge(near, mine, tables->limits[0], state->tensors[j], state->tensors[k]);
            return;
        }
        bs_track_merge(mine, near, tables->limits[0], state->tensors[k], state->tensors[j]);
    }
}

/* Ends a track's bin at time `now`, and the track with it where it is over; returns the number of records. */
static uint32_t advance(const bs_tracker_tables *tables, bs_tracker_state *state, uint32_t k, uint32_t now, int32_t *record,
                        uint8_t *record_tensor)
{
    int32_t *const track = state->tracks[k];
    const int32_t follows = bs_track_end_bin(tables, track);
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
    const uint32_t made = bs_track_finish(tables, state, k, now, record, record_tensor);
    state->discarded += 1u - made;
    if (follows || full) {
        bs_track_begin(track, state->passages, now, x, y, tables);
        track[FLAGS] = BS_SPLIT;
        if (follows) { /* with the bin that has ended */
            track[FIRST] = (int32_t)(now - (uint32_t)tables->bin_us);
        }
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
    uint32_t left = state->active;
    for (int32_t k = 0; left != 0 && k < tables->most; k++) {
        const int32_t *const track = state->tracks[k];
        if (track[ACTIVE] != 0) {
            left--;
            const int32_t apart_x = bs_apart(column, track[X] >> FINE), apart_y = bs_apart(row, track[Y] >> FINE);
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
    bs_track_begin(state->tracks[mine], state->passages, *time, column, row, tables);
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
        && tables->marks >= 1 && tables->marks <= 3
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
    state->due = state->active = state->outside = 0;
    bs_clear(state->seed_time, sizeof state->seed_time);
    bs_clear(state->seed_count, sizeof state->seed_count);
    bs_clear(state->tracks, sizeof state->tracks);
    bs_clear(state->tensors, sizeof state->tensors);
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
            if ((tables->marks >> polarity & 1u) == 0) {
                continue;
            }
            mine = seeded(tables, state, now, column, row);
            if (mine < 0) {
                continue;
            }
        }
        int32_t *const track = state->tracks[mine];
        bs_track_take(track, now, column, row, polarity);
        int32_t u = column, v = row;
        if (tables->follow) {
            u = bs_add(bs_subtract(column, track[X] >> FINE), tables->half_x);
            v = bs_add(bs_subtract(row, track[Y] >> FINE), tables->half_y);
        }
        mark(tables, state->tensors[mine], u, v, now - (uint32_t)track[FIRST], polarity);
    }
    return (int32_t)end_bins(tables, state, stop, out, out_tensor, found);
}
