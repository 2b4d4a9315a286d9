/* What is told of a passage when it is over; pipeline/events/records.py and gate.py are the same text in Python. */
#include "bitspike/clusters.h"

#define TYPICAL 16  /* parts of one in which the typical passage is kept */
#define EARLY BS_TRACKER_EARLY
#define BELOW 3u /* of the early passages, shorter than the typical one */
#define STEP 9
#define PER_SECOND 1000000

/* The typical value (Q4), now that another was seen; early: [EARLY], where the first are kept. */
static int32_t learn(uint32_t seen, int32_t *early, int32_t typical, int64_t value)
{
    if (seen >= EARLY) {
        const int32_t part = bs_most(typical >> STEP, 1), apart = bs_subtract((int32_t)(value * TYPICAL), typical);
        return bs_add(typical, bs_least(bs_most(apart, -3 * part), 2 * part));
    }
    early[seen] = (int32_t)value;
    for (uint32_t k = 0; k < EARLY; k++) {
        uint32_t below = 0;
        for (uint32_t j = 0; j < EARLY; j++) {
            below += early[j] < early[k] || (early[j] == early[k] && j < k);
        }
        if (below == BELOW) {
            typical = bs_shift_left(early[k], 4);
        }
    }
    return typical;
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
    const int64_t lasted = (int64_t)((uint32_t)track[LAST] - (uint32_t)track[FIRST]);
    const int64_t size_x = (int64_t)track[SPREAD_X] * 32 / events, size_y = (int64_t)track[SPREAD_Y] * 32 / events;
    int32_t flags = track[FLAGS];
    const uint32_t seen = state->learned;
    if (seen >= EARLY) {
        if ((limits[1] != 0 && 100 * TYPICAL * lasted > (100 + (int64_t)limits[1]) * state->typical[0])
            || (limits[2] != 0 && 100 * TYPICAL * size_x > (100 + (int64_t)limits[2]) * state->typical[1])
            || (limits[2] != 0 && 100 * TYPICAL * size_y > (100 + (int64_t)limits[2]) * state->typical[2])) {
            flags |= BS_DOUBLET;
        }
    }
    state->typical[0] = learn(seen, state->early[0], state->typical[0], lasted);
    state->typical[1] = learn(seen, state->early[1], state->typical[1], size_x);
    state->typical[2] = learn(seen, state->early[2], state->typical[2], size_y);
    if (seen < EARLY) {
        state->learned++;
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
