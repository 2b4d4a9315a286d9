/* What is told of a passage when it is over; pipeline/events/records.py and gate.py are the same text in Python. */
#include "bitspike/clusters.h"

#define RECENT BS_TRACKER_RECENT
#define LEAST 8u /* passages that there must be to compare one with */
#define PER_SECOND 1000000

/* Whether a value is larger, by `percent`, than more than a third of the first `count` of recent: [RECENT]. */
static int exceeds(uint32_t count, const int32_t *recent, int64_t value, int32_t percent)
{
    uint32_t smaller = 0;
    for (uint32_t k = 0; k < count; k++) {
        smaller += 100 * value > (100 + (int64_t)percent) * recent[k];
    }
    return smaller > count / 3u;
}

uint32_t bs_track_finish(const bs_tracker_tables *tables, bs_tracker_state *state, uint32_t number, uint32_t closed, int32_t *record,
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
    const uint32_t span = (uint32_t)track[LAST] - (uint32_t)track[FIRST];
    const int64_t lasted = span;
    const int64_t size_x = (int64_t)track[SPREAD_X] * 32 / events, size_y = (int64_t)track[SPREAD_Y] * 32 / events;
    int64_t trailing = track[OFF], marking = track[ON];
    if (tables->marks == 1) {
        trailing = track[ON];
        marking = track[OFF];
    }
    if (tables->marks == 3) {
        marking = trailing = events;
    }
    const uint64_t squared = (uint64_t)span * span * (uint32_t)trailing; /* of a passage of hours it wraps */
    const int64_t weight = bs_isqrt64(squared / (uint32_t)(marking > 1 ? marking : 1));
    int32_t flags = track[FLAGS];
    const uint32_t seen = state->learned, count = seen < RECENT ? seen : RECENT;
    if (count >= LEAST) {
        if ((limits[1] != 0 && exceeds(count, state->recent[0], lasted, limits[1]))
            || (limits[2] != 0 && (exceeds(count, state->recent[1], size_x, limits[2])
                                   || exceeds(count, state->recent[2], size_y, limits[2])))
            || (limits[3] != 0 && exceeds(count, state->recent[3], weight, limits[3]))) {
            flags |= BS_DOUBLET;
        }
    }
    const uint32_t oldest = seen & (RECENT - 1u);
    state->recent[0][oldest] = (int32_t)lasted;
    state->recent[1][oldest] = (int32_t)size_x;
    state->recent[2][oldest] = (int32_t)size_y;
    state->recent[3][oldest] = (int32_t)weight;
    state->learned = seen < 2u * RECENT - 1u ? seen + 1u : RECENT;
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
    record[BS_RECORD_GATE] = events >= limits[4] && events <= limits[5] && size_x >= limits[6] && size_x <= limits[7]
        && size_y >= limits[6] && size_y <= limits[7] && (limits[8] == 0 || (flags & BS_DOUBLET) == 0);
    for (uint32_t k = 0; k < tables->size; k++) {
        record_tensor[k] = state->tensors[number][k];
    }
    return 1;
}
