/* Spike sorter; classifiers/sorting.py is the same text in Python. */
#include <stddef.h>

#include "bitspike/fitting.h"
#include "bitspike/fixed.h"
#include "bitspike/pairs.h"
#include "bitspike/waiting.h"

#define PER_TICK BS_SORTER_PER_TICK
#define FEATURE_BITS 12 /* features are Q3: products in Q15 shifted by this */
#define STACK 64        /* hidden spikes of one */
#define DEPTH 3         /* hidden spikes below hidden spikes */
#define MOST_ENERGY ((int64_t)BS_MAX_TEMPLATE_FRAMES << 30) /* of one row of a template */

typedef struct {        /* what all that sorts in one block works on */
    const bs_sorter_tables *tables;
    bs_sorter_state *state;
    int32_t start;      /* the block's first frame */
    int32_t *out_at;
    int32_t *out_channel;
    int32_t *out_amplitude;
    int32_t *out_unit;
    uint32_t count;
    uint32_t room;
} sorting;

typedef struct {        /* a spike on the stack */
    int32_t at;
    int32_t on;
    int32_t size;
    int32_t depth;
} hidden;

/* Fills the features of one window: components in Q15, features in Q3, rounded down. */
static void project(const bs_sorter_tables *tables, int32_t channel, int16_t window[][ROW], int32_t *feature)
{
    const int32_t first = SHIFT + tables->feature_from, width = tables->feature_width;
    for (int32_t p = 0; p < tables->dimensions; p++) {
        const int16_t *const axis = tables->component[channel][p];
        int64_t total = 0;
        for (int32_t k = 0; k < tables->neighbours; k++) {
            total += bs_product(window[k] + first, axis + k * width, (uint32_t)width);
        }
        feature[p] = (int32_t)(total >> FEATURE_BITS);
    }
}

/* The cluster of the channel that a spike belongs to by its features, BS_FREE if to none. */
static int32_t own_cluster(const sorting *s, int32_t on, const int32_t *feature)
{
    const bs_sorter_tables *const tables = s->tables;
    const uint32_t count = (uint32_t)tables->clusters[on], dimensions = (uint32_t)tables->dimensions;
    int32_t moved[BS_MAX_CLUSTERS][BS_MAX_FEATURES];
    for (uint32_t k = 0; k < count; k++) {
        for (uint32_t a = 0; a < dimensions; a++) {
            moved[k][a] = bs_add(tables->centre[on][k][a], s->state->drift[on][k][a] >> 8);
        }
    }
    return bs_nearest(feature, (const int32_t (*)[BS_MAX_FEATURES])moved, tables->inverse[on], tables->offset[on], count,
                      tables->limit, dimensions);
}

/* Lets the centre of a cluster follow one of its spikes. */
static void follow(const sorting *s, int32_t on, int32_t own, const int32_t *feature)
{
    const bs_sorter_tables *const tables = s->tables;
    for (int32_t a = 0; a < tables->dimensions; a++) {
        int32_t *const drift = &s->state->drift[on][own][a];
        const int64_t away = ((int64_t)feature[a] - tables->centre[on][own][a]) * 256 - *drift;
        const int64_t moved = *drift + (away >> tables->adapt);
        *drift = moved < INT32_MIN ? INT32_MIN : moved > INT32_MAX ? INT32_MAX : (int32_t)moved;
    }
}

static void put(sorting *s, int32_t at, int32_t channel, int32_t amplitude, int32_t unit)
{
    if (s->count < s->room) {
        s->out_at[s->count] = at;
        s->out_channel[s->count] = channel;
        s->out_amplitude[s->count] = amplitude;
        s->out_unit[s->count] = unit;
        s->count++;
    }
}

/* Whether one of the unit's latest spikes is at most `dead` frames away; if not, `frame` is its latest from now on. */
static int again(const sorting *s, int32_t unit, int32_t frame)
{
    int32_t *const latest = s->state->latest_of[unit];
    const uint32_t dead = (uint32_t)s->tables->dead;
    for (uint32_t k = 0; k < BS_SORTER_LATEST; k++) {
        if (latest[k] != 0 && (((uint32_t)frame + 1u - (uint32_t)latest[k] + dead) & FRAME_MASK) <= 2u * dead) {
            return 1;
        }
    }
    for (uint32_t k = BS_SORTER_LATEST - 1u; k > 0; k--) {
        latest[k] = latest[k - 1u];
    }
    latest[0] = (int32_t)(((uint32_t)frame & FRAME_MASK) + 1u);
    return 0;
}

/* Puts on the stack what stands out of the signal after a unit was taken off it; returns how many are waiting there. */
static uint32_t look_again(const sorting *s, int32_t at, int32_t unit, int32_t sign, int32_t depth, hidden *stack, uint32_t waiting)
{
    const bs_sorter_tables *const tables = s->tables;
    const int32_t before = tables->before, reach = tables->reach;
    const int16_t *const near = tables->neighbour[tables->unit_channel[unit]];
    const int32_t first = before > reach ? before - reach : 0, beyond = before + reach + 1;
    for (int32_t k = 0; k < tables->neighbours && near[k] >= 0; k++) {
        const int32_t c = near[k], level = tables->level[c];
        for (int32_t m = first; m < tables->width && m < beyond; m++) {
            const int32_t n = at - before + m, value = bs_value_at(s->state, n, c);
            if (sign * value < level || sign * value * 4 < (int32_t)bs_size(tables->template[unit][k][m])) {
                continue; /* the rest of a large spike is a few per cent of it */
            }
            if (waiting < STACK && bs_stands_out(tables, s->state, n, c, sign, 2 * LOCATE)) {
                stack[waiting].at = n;
                stack[waiting].on = c;
                stack[waiting].size = value;
                stack[waiting].depth = depth;
                waiting++;
            }
        }
    }
    return waiting;
}

/* Takes one spike, and what hides behind it, off the signal. */
static void take(sorting *s, int32_t at, int32_t on, int32_t size)
{
    const bs_sorter_tables *const tables = s->tables;
    hidden stack[STACK];
    int16_t window[BS_MAX_NEIGHBOURS][ROW];
    int32_t feature[BS_MAX_FEATURES];
    uint32_t waiting = 1;
    stack[0].at = at;
    stack[0].on = on;
    stack[0].size = size;
    stack[0].depth = 0;
    while (waiting > 0) {
        const hidden spike = stack[--waiting];
        const int32_t channel = spike.on, sign = spike.size > 0 ? 1 : -1, frame = bs_extreme(s->state, spike.at, channel, sign);
        const int32_t peak = bs_value_at(s->state, frame, channel);
        const int64_t least = bs_size(spike.size);
        if (sign * peak < (tables->level[channel] < least ? tables->level[channel] : least)) {
            continue; /* another spike has explained it */
        }
        bs_cut(tables, s->state, frame, channel, window);
        project(tables, channel, window, feature);
        const int32_t own = own_cluster(s, channel, feature);
        const int32_t wanted = own >= 0 ? tables->cluster_unit[channel][own] : -1;
        const bs_fit best = bs_best_unit(tables, s->state, frame, channel, wanted, window);
        const int32_t unit = best.unit < 0 ? wanted : best.unit; /* one that is known by its features is not to be subtracted */
        if (own >= 0 && spike.depth == 0) {
            follow(s, channel, own, feature);
        }
        const int32_t home = unit >= 0 ? tables->unit_channel[unit] : channel, there = frame + best.shift;
        if (unit < 0 || !again(s, unit, there)) { /* else the rest of a spike that was given */
            put(s, there - s->start, home, unit >= 0 ? bs_value_at(s->state, there, home) : peak, unit);
        }
        if (unit < 0 || best.scale == 0) {
            continue;
        }
        bs_explain(tables, s->state, there, unit, best.scale);
        if (spike.depth < DEPTH) {
            waiting = look_again(s, there, unit, sign, spike.depth + 1, stack, waiting);
        }
    }
}

/* Copies frames into the ring. */
BS_APART void keep(int16_t *newest, const int16_t *frame, uint32_t count)
{
    const int16_t *const end = frame + count;
    for (; end - frame >= 8; frame += 8, newest += 8) {
        bs_store_pair(newest, bs_load_pair(frame));
        bs_store_pair(newest + 2, bs_load_pair(frame + 2));
        bs_store_pair(newest + 4, bs_load_pair(frame + 4));
        bs_store_pair(newest + 6, bs_load_pair(frame + 6));
    }
    while (frame < end) {
        *newest++ = *frame++;
    }
}

/* Takes the spikes whose turn has come, `done` frames into the block. */
BS_APART void tick(sorting *s, int32_t done)
{
    bs_sorter_state *const state = s->state;
    for (;;) {
        const int32_t chosen = bs_foremost(s->tables, state, done);
        if (chosen < 0) {
            break;
        }
        const int32_t at = state->wait_at[chosen], on = state->wait_channel[chosen], size = state->wait_amplitude[chosen];
        bs_called(state, chosen);
        if (s->tables->learned == 0) {
            put(s, at, on, size, -1);
        } else {
            take(s, s->start + at, on, size);
        }
    }
}

int32_t bs_sorter_init(const bs_sorter_tables *tables, bs_sorter_state *state)
{
    const int32_t width = tables->width, first = tables->feature_from, length = tables->feature_width, units = tables->units;
    const int32_t neighbours = tables->neighbours, dimensions = tables->dimensions;
    bs_sorter_reset(state);
    int good = neighbours >= 1 && neighbours <= BS_MAX_NEIGHBOURS && width >= 1 && width <= BS_MAX_TEMPLATE_FRAMES
        && tables->before >= 0 && tables->before <= width && first >= 0 && length >= 1 && length <= BS_MAX_FEATURE_FRAMES
        && first <= width - length && dimensions >= 1 && dimensions <= BS_MAX_FEATURES && tables->adapt >= 0 && tables->adapt <= 31
        && tables->arrival >= 0 && tables->arrival <= BS_MAX_HELD_FRAMES && tables->reach >= 0 && tables->reach <= BS_MAX_HELD_FRAMES
        && tables->delay >= 0 && tables->delay <= BS_MAX_HELD_FRAMES && tables->dead >= 0 && tables->dead <= BS_MAX_HELD_FRAMES
        && tables->ticks >= 1
        && tables->ticks <= BS_MAX_WAITING_SPIKES / PER_TICK && units >= 0 && units <= BS_MAX_UNITS;
    for (uint32_t c = 0; c < BS_MAX_CHANNELS && good; c++) {
        const int32_t clusters = tables->clusters[c], candidates = tables->candidates[c];
        good = clusters >= 0 && clusters <= BS_MAX_CLUSTERS && candidates >= 0 && candidates <= BS_MAX_CANDIDATES;
        for (int32_t k = 0; k < neighbours; k++) {
            good &= tables->neighbour[c][k] >= -1 && tables->neighbour[c][k] < BS_MAX_CHANNELS;
        }
        for (int32_t k = 0; k < clusters && good; k++) {
            good = tables->cluster_unit[c][k] >= -1 && tables->cluster_unit[c][k] < units;
        }
        for (int32_t q = 0; q < candidates && good; q++) {
            good = tables->candidate[c][q] >= 0 && tables->candidate[c][q] < units;
        }
    }
    for (int32_t u = 0; u < units && good; u++) {
        good = tables->unit_channel[u] >= 0 && tables->unit_channel[u] < BS_MAX_CHANNELS && tables->energy[u] >= 1
            && tables->energy[u] <= neighbours * MOST_ENERGY && tables->row_energy[u] >= 1 && tables->row_energy[u] <= MOST_ENERGY
            && tables->low[u] >= 0 && tables->low[u] <= tables->high[u] && tables->high[u] <= 32767;
    }
    return good ? 0 : BS_BAD_TABLES;
}

void bs_sorter_reset(bs_sorter_state *state)
{
    bs_clear(state, sizeof *state);
}

void bs_sorter_gap(bs_sorter_state *state)
{
    bs_clear(state, offsetof(bs_sorter_state, drift));
    state->dropped = 0;
}

int32_t bs_sorter_process(const bs_sorter_tables *tables, bs_sorter_state *state, const int16_t *x,
                          const int32_t *spike_at, const int32_t *spike_channel, const int32_t *spike_amplitude,
                          int32_t *out_at, int32_t *out_channel, int32_t *out_amplitude, int32_t *out_unit,
                          uint32_t frames, uint32_t channels, uint32_t spikes, uint32_t room)
{
    for (uint32_t i = 0; i < spikes; i++) {
        if (spike_channel[i] < 0 || spike_channel[i] >= (int32_t)channels) {
            return BS_NO_CHANNEL;
        }
        if (spike_at[i] < -BS_SORTER_OLDEST || spike_at[i] >= (int32_t)frames) {
            return BS_NO_TIME;
        }
    }
    const uint32_t start = (uint32_t)state->frame;
    sorting s = {tables, state, state->frame, out_at, out_channel, out_amplitude, out_unit, 0, room};
    uint32_t done = 0, next_spike = 0;
    while (done < frames) {
        const uint32_t left = TICK - (start + done) % TICK, step = left < frames - done ? left : frames - done;
        /* frames lie one after the other in the ring where it is made for just these channels: a tick never goes round its end */
        const uint32_t together = channels == BS_MAX_CHANNELS && BS_MAX_HELD_FRAMES >= TICK ? step : 1;
        for (uint32_t n = start + done; n < start + done + step; n += together) {
            keep(state->ring[n & LAST], x, together * channels);
            x += together * channels;
        }
        done += step;
        if ((start + done) % TICK != 0) {
            break;
        }
        const int32_t due = (int32_t)done - tables->arrival;
        bs_admit(state, due);
        for (; state->arriving == 0 && next_spike < spikes && spike_at[next_spike] <= due; next_spike++) {
            if (bs_expected(tables, state, s.start + spike_at[next_spike])) {
                bs_wait(state, spike_at[next_spike], spike_channel[next_spike], spike_amplitude[next_spike]);
            }
        }
        if (bs_ripe(state, (int32_t)done - tables->delay)) {
            tick(&s, (int32_t)done);
        }
    }
    for (; next_spike < spikes; next_spike++) {
        if (bs_expected(tables, state, s.start + spike_at[next_spike])) {
            bs_arrive(state, spike_at[next_spike], spike_channel[next_spike], spike_amplitude[next_spike]);
        }
    }
    for (int32_t a = 0; a < state->arriving; a++) {
        state->arrive_at[a] -= (int32_t)frames;
    }
    for (int32_t w = 0; w < state->waiting; w++) {
        state->wait_at[w] -= (int32_t)frames;
    }
    state->frame = (int32_t)((start + frames) & FRAME_MASK);
    return (int32_t)s.count;
}
