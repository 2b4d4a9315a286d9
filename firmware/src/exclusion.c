/* Local exclusion; pipeline/neural/exclusion.py is the same text in Python. */
#include "bitspike/detection.h"
#include "bitspike/exclusion.h"
#include "bitspike/fixed.h"

#define ROOM ((int32_t)BS_EXCLUSION_ROOM)

typedef struct {        /* where what is kept goes */
    int32_t *at;
    int32_t *channel;
    int32_t *amplitude;
    int32_t count;
} output;

static int beside(const bs_exclusion_tables *tables, int32_t one, int32_t other)
{
    return (tables->near[one][other >> 5] >> (other & 31) & 1u) != 0;
}

/* Says whether candidates on channels `one` and `other` exclude each other, `apart` frames apart. */
static int rivals(const bs_exclusion_tables *tables, int32_t apart, int32_t one, int32_t other)
{
    return (apart <= (int32_t)tables->sweep && beside(tables, one, other))
        || (one == other && apart <= (int32_t)tables->refractory);
}

/* The frames within which candidates can be rivals. */
static int32_t reach_of(const bs_exclusion_tables *tables)
{
    return (int32_t)(tables->sweep > tables->refractory ? tables->sweep : tables->refractory);
}

/* Says whether candidate i has a larger rival that was left before this round; of equals the earlier is the larger. */
static int beaten(const bs_exclusion_tables *tables, const bs_exclusion_state *state, int32_t i, uint32_t round)
{
    const int32_t reach = reach_of(tables), count = (int32_t)state->pending, *when = state->when, *channel = state->channel;
    const uint32_t size = bs_size(state->amplitude[i]);
    for (int32_t j = i - 1; j >= 0 && when[i] - when[j] <= reach; j--) {
        const int left = state->mark[j] == 0 || (uint32_t)state->mark[j] >> 1 >= round;
        if (left && bs_size(state->amplitude[j]) >= size && rivals(tables, when[i] - when[j], channel[i], channel[j])) {
            return 1;
        }
    }
    for (int32_t j = i + 1; j < count && when[j] - when[i] <= reach; j++) {
        const int left = state->mark[j] == 0 || (uint32_t)state->mark[j] >> 1 >= round;
        if (left && bs_size(state->amplitude[j]) > size && rivals(tables, when[j] - when[i], channel[i], channel[j])) {
            return 1;
        }
    }
    return 0;
}

/* Says whether candidate i has a rival that was kept in this round. */
static int excluded(const bs_exclusion_tables *tables, const bs_exclusion_state *state, int32_t i, uint32_t round)
{
    const int32_t reach = reach_of(tables), count = (int32_t)state->pending, *when = state->when, *channel = state->channel;
    const uint32_t kept = 2 * round + 1;
    for (int32_t j = i - 1; j >= 0 && when[i] - when[j] <= reach; j--) {
        if (state->mark[j] == kept && rivals(tables, when[i] - when[j], channel[i], channel[j])) {
            return 1;
        }
    }
    for (int32_t j = i + 1; j < count && when[j] - when[i] <= reach; j++) {
        if (state->mark[j] == kept && rivals(tables, when[j] - when[i], channel[i], channel[j])) {
            return 1;
        }
    }
    return 0;
}

/* Says whether candidate i is the undershoot of a kept one before it. */
static int rebounds(const bs_exclusion_tables *tables, const bs_exclusion_state *state, int32_t i)
{
    const int32_t *const when = state->when, *const channel = state->channel;
    const uint64_t limit = (uint64_t)bs_size(state->amplitude[i]) * tables->ratio;
    for (int32_t j = i - 1; j >= 0 && when[i] - when[j] <= (int32_t)tables->rebound; j--) {
        const int close = channel[i] == channel[j] || beside(tables, channel[i], channel[j]);
        if (close && (state->mark[j] & 1u) != 0 && bs_size(state->amplitude[j]) > limit) {
            return 1;
        }
    }
    return 0;
}

/* Decides, and reports if kept, all pending candidates that none can change any more. All candidates before frame `complete` have
 * arrived; the marks of decided ones are final, all others are worked out anew. */
static void decide(const bs_exclusion_tables *tables, bs_exclusion_state *state, int32_t complete, output *out)
{
    const int32_t horizon = complete - (int32_t)(2 * tables->rounds - 1) * reach_of(tables), count = (int32_t)state->pending;
    int32_t first = (int32_t)state->decided;
    if (first == count || state->when[first] >= horizon) {
        return;
    }
    for (int32_t i = first; i < count; i++) {
        state->mark[i] = 0;
    }
    for (uint32_t round = 1; round <= tables->rounds; round++) {
        for (int32_t i = first; i < count; i++) {
            if (state->mark[i] == 0 && !beaten(tables, state, i, round)) {
                state->mark[i] = (uint8_t)(2 * round + 1);
            }
        }
        for (int32_t i = first; i < count; i++) {
            if (state->mark[i] == 0 && excluded(tables, state, i, round)) {
                state->mark[i] = (uint8_t)(2 * round);
            }
        }
    }
    for (; first < count && state->when[first] < horizon; first++) {
        if ((state->mark[first] & 1u) != 0 && !rebounds(tables, state, first)) {
            out->at[out->count] = state->when[first];
            out->channel[out->count] = state->channel[first];
            out->amplitude[out->count] = state->amplitude[first];
            out->count++;
        }
    }
    state->decided = (uint32_t)first;
}

/* Takes the candidates before frame `oldest` off the list. */
static void forget(bs_exclusion_state *state, int32_t oldest)
{
    const uint32_t count = state->pending;
    uint32_t gone = 0;
    while (gone < count && state->when[gone] < oldest) {
        gone++;
    }
    if (gone == 0) {
        return;
    }
    for (uint32_t i = gone; i < count; i++) {
        state->when[i - gone] = state->when[i];
        state->channel[i - gone] = state->channel[i];
        state->amplitude[i - gone] = state->amplitude[i];
        state->mark[i - gone] = state->mark[i];
    }
    state->pending -= gone;
    state->decided -= gone;
}

/* Puts a candidate in its place on the list, by frame and then by channel. */
static void insert(bs_exclusion_state *state, int32_t at, int32_t channel, int32_t amplitude)
{
    if (state->pending == ROOM) {
        state->overflow++;
        return;
    }
    uint32_t i = state->pending;
    while (i > 0 && (state->when[i - 1] > at || (state->when[i - 1] == at && state->channel[i - 1] > channel))) {
        i--;
    }
    if (i < state->decided) { /* its time is over */
        state->late++;
        return;
    }
    for (uint32_t j = state->pending; j > i; j--) {
        state->when[j] = state->when[j - 1];
        state->channel[j] = state->channel[j - 1];
        state->amplitude[j] = state->amplitude[j - 1];
    }
    state->when[i] = at;
    state->channel[i] = channel;
    state->amplitude[i] = amplitude;
    state->pending++;
}

int32_t bs_exclusion_init(const bs_exclusion_tables *tables, bs_exclusion_state *state)
{
    bs_exclusion_reset(state);
    return tables->rounds >= 1 && tables->rounds <= 4 && tables->sweep < 1u << 24 && tables->refractory < 1u << 24
        && tables->rebound < 1u << 24 ? 0 : BS_BAD_TABLES;
}

void bs_exclusion_reset(bs_exclusion_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_exclusion_process(const bs_exclusion_tables *tables, bs_exclusion_state *state,
                             const int32_t *at, const int32_t *channel, const int32_t *amplitude,
                             int32_t *out_at, int32_t *out_channel, int32_t *out_amplitude,
                             uint32_t spikes, uint32_t frames, uint32_t channels)
{
    for (uint32_t k = 0; k < spikes; k++) {
        if (channel[k] < 0 || channel[k] >= (int32_t)channels) {
            return BS_NO_CHANNEL;
        }
        if (at[k] < -BS_LAG || at[k] >= (int32_t)frames) {
            return BS_NO_TIME;
        }
    }
    const int32_t reach = reach_of(tables), rebound = (int32_t)tables->rebound;
    /* a candidate this far behind a new one is taken off the list: a reach more than what is open can feel, so that candidates need
     * to be decided once per reach only, however crowded the list */
    const int32_t span = (int32_t)(2 * tables->rounds + 1) * reach + BS_LAG + rebound;
    output out = {out_at, out_channel, out_amplitude, 0};
    for (uint32_t k = 0; k < spikes; k++) {
        if (state->pending == ROOM && state->when[0] < at[k] - span) {
            if (state->decided < state->pending && state->when[state->decided] - reach - rebound < at[k] - span) {
                decide(tables, state, at[k] - BS_LAG, &out);
            }
            forget(state, at[k] - span);
        }
        insert(state, at[k], channel[k], amplitude[k]);
    }
    decide(tables, state, (int32_t)frames - BS_LAG, &out);
    forget(state, (int32_t)frames - BS_LAG - span);
    for (uint32_t j = 0; j < state->pending; j++) {
        state->when[j] -= (int32_t)frames;
    }
    return out.count;
}
