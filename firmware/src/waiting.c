/* Spikes that wait; classifiers/waiting.py is the same text in Python. */
#include "bitspike/fixed.h"
#include "bitspike/waiting.h"

#define PER_TICK BS_SORTER_PER_TICK

typedef struct {        /* spikes that wait */
    int32_t *count;
    int32_t *at;
    int32_t *channel;
    int32_t *amplitude;
} list;

static list arriving_of(bs_sorter_state *state)
{
    const list found = {&state->arriving, state->arrive_at, state->arrive_channel, state->arrive_amplitude};
    return found;
}

static list waiting_of(bs_sorter_state *state)
{
    const list found = {&state->waiting, state->wait_at, state->wait_channel, state->wait_amplitude};
    return found;
}

/* Puts a spike on a list; where that is full, drops and counts it. */
static void put(bs_sorter_state *state, list on, int32_t at, int32_t channel, int32_t amplitude)
{
    const int32_t w = *on.count;
    if (w == BS_MAX_WAITING_SPIKES) {
        state->dropped++;
        return;
    }
    on.at[w] = at;
    on.channel[w] = channel;
    on.amplitude[w] = amplitude;
    ++*on.count;
}

/* Takes `gone` spikes off a list, from `first` on. */
static void take_off(list from, int32_t first, int32_t gone)
{
    *from.count -= gone;
    for (int32_t w = first; w < *from.count && gone > 0; w++) {
        from.at[w] = from.at[w + gone];
        from.channel[w] = from.channel[w + gone];
        from.amplitude[w] = from.amplitude[w + gone];
    }
}

void bs_wait(bs_sorter_state *state, int32_t at, int32_t channel, int32_t amplitude)
{
    put(state, waiting_of(state), at, channel, amplitude);
}

void bs_arrive(bs_sorter_state *state, int32_t at, int32_t channel, int32_t amplitude)
{
    put(state, arriving_of(state), at, channel, amplitude);
}

void bs_called(bs_sorter_state *state, int32_t chosen)
{
    take_off(waiting_of(state), chosen, 1);
}

int bs_expected(const bs_sorter_tables *tables, bs_sorter_state *state, int32_t frame)
{
    const int32_t turn = (int32_t)(((uint32_t)frame & FRAME_MASK) / TICK), k = turn % tables->ticks;
    if (state->tick_of[k] != turn) {
        state->tick_of[k] = turn;
        state->tick_spikes[k] = 0;
    }
    if (state->tick_spikes[k] == PER_TICK) {
        state->dropped++;
        return 0;
    }
    state->tick_spikes[k]++;
    return 1;
}

int32_t bs_foremost(const bs_sorter_tables *tables, const bs_sorter_state *state, int32_t now)
{
    const int32_t *const at = state->wait_at, *const channel = state->wait_channel, *const amplitude = state->wait_amplitude;
    const int32_t delay = tables->delay;
    int32_t chosen = -1;
    for (int32_t w = 0; w < state->waiting; w++) {
        const int32_t age = now - at[w];
        if (age < delay || (chosen >= 0 && bs_size(amplitude[w]) <= bs_size(amplitude[chosen]))) {
            continue;
        }
        int held = 0;
        for (int32_t v = 0; v < state->waiting && age < delay + 2 * TICK && !held; v++) {
            const int32_t other = now - at[v];
            if (other < delay && age - other <= tables->reach && bs_size(amplitude[v]) > bs_size(amplitude[w])) {
                for (int32_t k = 0; k < tables->neighbours; k++) {
                    held |= tables->neighbour[channel[w]][k] == channel[v];
                }
            }
        }
        if (!held) {
            chosen = w;
        }
    }
    return chosen;
}

int bs_ripe(const bs_sorter_state *state, int32_t due)
{
    for (int32_t w = 0; w < state->waiting; w++) {
        if (state->wait_at[w] <= due) {
            return 1;
        }
    }
    return 0;
}

void bs_admit(bs_sorter_state *state, int32_t due)
{
    int32_t first = 0;
    while (first < state->arriving && state->arrive_at[first] <= due) {
        bs_wait(state, state->arrive_at[first], state->arrive_channel[first], state->arrive_amplitude[first]);
        first++;
    }
    take_off(arriving_of(state), 0, first);
}
