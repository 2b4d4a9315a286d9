/* Spike sorter; classifiers/sorting.py is the same text in Python. */
#include <stddef.h>

#include "bitspike/fixed.h"
#include "bitspike/pairs.h"
#include "bitspike/sorter.h"

#define TICK BS_SORTER_TICK
#define PER_TICK BS_SORTER_PER_TICK
#define FRAME_MASK 0x3FFFFFFFu
#define SHIFT 2         /* frames by which a template may be moved to fit */
#define LOCATE 3        /* frames by which the peak may move when neighbours are subtracted */
#define SCALE_BITS 12
#define FEATURE_BITS 12 /* features are Q3: products in Q15 shifted by this */
#define SHORT 3         /* candidates that are tried on all channels */
#define STACK 64        /* hidden spikes of one */
#define DEPTH 3         /* hidden spikes below hidden spikes */
#define ROW (BS_MAX_TEMPLATE_FRAMES + 2 * SHIFT)
#define MOST_ENERGY ((int64_t)BS_MAX_TEMPLATE_FRAMES << 30) /* of one row of a template */
#define LAST (BS_MAX_HELD_FRAMES - 1)

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

typedef struct {        /* spikes that wait */
    int32_t *count;
    int32_t *at;
    int32_t *channel;
    int32_t *amplitude;
} list;

typedef struct {        /* a spike on the stack */
    int32_t at;
    int32_t on;
    int32_t size;
    int32_t depth;
} hidden;

typedef struct {        /* a unit at the shift at which it fits best */
    int32_t unit;
    int32_t shift;
} fit;

static int32_t value_at(const bs_sorter_state *state, int32_t frame, int32_t channel)
{
    return state->ring[(uint32_t)frame & LAST][channel];
}

/* sum of a[m] b[m] */
static int64_t product(const int16_t *a, const int16_t *b, uint32_t count)
{
    const int16_t *const end = a + count;
    int64_t total = 0;
    for (; end - a >= 8; a += 8, b += 8) {
        total = bs_pair_products(bs_load_pair(a), bs_load_pair(b), total);
        total = bs_pair_products(bs_load_pair(a + 2), bs_load_pair(b + 2), total);
        total = bs_pair_products(bs_load_pair(a + 4), bs_load_pair(b + 4), total);
        total = bs_pair_products(bs_load_pair(a + 6), bs_load_pair(b + 6), total);
    }
    while (a < end) {
        total += *a++ * *b++;
    }
    return total;
}

/* The frame of the largest sign * signal near `frame`. */
static int32_t extreme(const bs_sorter_state *state, int32_t frame, int32_t channel, int32_t sign)
{
    int32_t best = frame, largest = sign * value_at(state, frame, channel);
    for (int32_t n = frame - LOCATE; n <= frame + LOCATE; n++) {
        const int32_t value = sign * value_at(state, n, channel);
        if (value > largest) {
            largest = value;
            best = n;
        }
    }
    return best;
}

/* Copies `width` frames of a channel from `frame` on. */
static void fetch(const bs_sorter_state *state, int32_t frame, int32_t channel, int32_t width, int16_t *row)
{
    for (int32_t m = 0; m < width; m++) {
        row[m] = state->ring[(uint32_t)(frame + m) & LAST][channel];
    }
}

/* Copies the signal of a channel and its neighbours around `frame`: a template's frames, and SHIFT more at both ends. */
static void cut(const sorting *s, int32_t frame, int32_t channel, int16_t window[][ROW])
{
    const bs_sorter_tables *const tables = s->tables;
    for (int32_t k = 0; k < tables->neighbours; k++) {
        const int32_t c = tables->neighbour[channel][k];
        if (c < 0) {
            bs_clear(window[k], sizeof window[k]);
        } else {
            fetch(s->state, frame - tables->before - SHIFT, c, tables->width + 2 * SHIFT, window[k]);
        }
    }
}

/* Fills the features of one window: components in Q15, features in Q3, rounded down. */
static void project(const bs_sorter_tables *tables, int32_t channel, int16_t window[][ROW], int32_t *feature)
{
    const int32_t first = SHIFT + tables->feature_from, width = tables->feature_width;
    for (int32_t p = 0; p < tables->dimensions; p++) {
        const int16_t *const axis = tables->component[channel][p];
        int64_t total = 0;
        for (int32_t k = 0; k < tables->neighbours; k++) {
            total += product(window[k] + first, axis + k * width, (uint32_t)width);
        }
        feature[p] = (int32_t)(total >> FEATURE_BITS);
    }
}

/* The shift, 0 to 2 SHIFT, at which one row of a template fits best; and its product with the signal there. */
static int32_t best_shift(const int16_t *window, const int16_t *template, int32_t width, int64_t *best)
{
    int32_t chosen = 0;
    for (int32_t s = 0; s <= 2 * SHIFT; s++) {
        const int64_t dot = product(window + s, template, (uint32_t)width);
        if (s == 0 || dot > *best) {
            *best = dot;
            chosen = s;
        }
    }
    return chosen;
}

/* dot / energy in Q12, rounded down, within [low, high], which are 0 to 32767: a bit at a time, since cores have no such division. */
static int32_t scale_of(int64_t dot, int64_t energy, int32_t low, int32_t high)
{
    int64_t rest = dot * (1 << SCALE_BITS);
    int32_t scale = 0;
    for (uint32_t bit = 15; bit > 0 && rest >= energy; bit--) {
        const int64_t part = energy * (1 << (bit - 1));
        if (rest >= part) {
            rest -= part;
            scale += 1 << (bit - 1);
        }
    }
    scale = rest >= energy ? high : scale; /* too large for 15 bits */
    return scale < low ? low : scale > high ? high : scale;
}

/* The energy that a template explains, and its scale a in Q12: 2 a <r, t> - a^2 <t, t> with a within its range; it counts from
 * a = 0.7 low, where it is 0.4 a^2 <t, t>. */
static int64_t explained_energy(int64_t dot, int64_t energy, int32_t low, int32_t high, int32_t *scale)
{
    const int64_t held = scale_of(dot, energy, low, high);
    const int64_t own = (held * held >> SCALE_BITS) * energy >> SCALE_BITS, explained = 2 * (held * dot >> SCALE_BITS) - own;
    *scale = (int32_t)held;
    return explained > own * 13 >> 5 ? explained : 0;
}

/* Puts the units that explain most of the signal of their own channel into `few`, best first; returns how many. own >= 0: only that
 * unit. */
static int32_t likely(const sorting *s, int32_t at, int32_t on, int32_t own, fit *few)
{
    const bs_sorter_tables *const tables = s->tables;
    int16_t row[ROW];
    int64_t gains[SHORT];
    int32_t count = 0, fetched = -1;
    for (int32_t q = 0; q < tables->candidates[on]; q++) {
        const int32_t u = tables->candidate[on][q], c = tables->unit_channel[u];
        int32_t scale;
        if (own >= 0 && u != own) {
            continue;
        }
        if (c != fetched) {
            fetch(s->state, at - tables->before - SHIFT, c, tables->width + 2 * SHIFT, row);
            fetched = c;
        }
        int64_t dot = 0;
        const int32_t shift = best_shift(row, tables->template[u][0], tables->width, &dot);
        const int64_t gain = explained_energy(dot > 0 ? dot : 0, tables->row_energy[u], tables->low[u], tables->high[u], &scale);
        if (gain <= 0) {
            continue;
        }
        int32_t place = count;
        while (place > 0 && gains[place - 1] < gain) {
            place--;
        }
        if (place >= SHORT) {
            continue;
        }
        count = count < SHORT ? count + 1 : SHORT;
        for (int32_t k = count - 1; k > place; k--) {
            gains[k] = gains[k - 1];
            few[k] = few[k - 1];
        }
        gains[place] = gain;
        few[place].unit = u;
        few[place].shift = shift;
    }
    return count;
}

/* Takes a scaled template out of the signal, rounded to nearest and saturated. */
static void subtract(const sorting *s, int32_t frame, int32_t unit, int32_t scale)
{
    const bs_sorter_tables *const tables = s->tables;
    const int16_t *const near = tables->neighbour[tables->unit_channel[unit]];
    for (int32_t k = 0; k < tables->neighbours && near[k] >= 0; k++) {
        const int16_t *const row = tables->template[unit][k];
        for (int32_t m = 0; m < tables->width; m++) {
            int16_t *const value = &s->state->ring[(uint32_t)(frame - tables->before + m) & LAST][near[k]];
            *value = bs_saturate16(*value - ((row[m] * scale + (1 << (SCALE_BITS - 1))) >> SCALE_BITS));
        }
    }
}

/* Says whether the signal has its largest value of the neighbourhood here, beyond the level. */
static int stands_out(const sorting *s, int32_t frame, int32_t channel, int32_t sign, int32_t reach)
{
    const bs_sorter_tables *const tables = s->tables;
    const int32_t value = sign * value_at(s->state, frame, channel);
    if (value < tables->level[channel]) {
        return 0;
    }
    for (int32_t k = 0; k < tables->neighbours; k++) {
        const int32_t c = tables->neighbour[channel][k];
        if (c < 0) {
            break;
        }
        for (int32_t n = frame - reach; n <= frame + reach; n++) {
            const int32_t other = sign * value_at(s->state, n, c);
            if (other > value || (other == value && (n < frame || (n == frame && c < channel)))) {
                return 0;
            }
        }
    }
    return 1;
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
            const int32_t n = at - before + m, value = value_at(s->state, n, c);
            if (sign * value < level || sign * value * 4 < (int32_t)bs_size(tables->template[unit][k][m])) {
                continue; /* the rest of a large spike is a few per cent of it */
            }
            if (waiting < STACK && stands_out(s, n, c, sign, 2 * LOCATE)) {
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

/* Finds the unit that explains most of the signal, of all or of one (wanted >= 0), -1 if none; where, and its scale. */
static int32_t best_unit(const sorting *s, int32_t at, int32_t on, int32_t wanted, int16_t window[][ROW], int32_t *shift, int32_t *scale)
{
    const bs_sorter_tables *const tables = s->tables;
    fit few[SHORT];
    const int32_t found = likely(s, at, on, wanted, few);
    int32_t unit = -1, shown = on;
    int64_t explained = 0;
    for (int32_t q = 0; q < found; q++) {
        const int32_t u = few[q].unit;
        if (tables->unit_channel[u] != shown) {
            shown = tables->unit_channel[u];
            cut(s, at, shown, window);
        }
        int64_t dot = 0;
        for (int32_t k = 0; k < tables->neighbours; k++) {
            dot += product(window[k] + few[q].shift, tables->template[u][k], (uint32_t)tables->width);
        }
        int32_t size;
        const int64_t gained = explained_energy(dot, tables->energy[u], tables->low[u], tables->high[u], &size);
        if (gained > explained) {
            unit = u;
            explained = gained;
            *shift = few[q].shift - SHIFT;
            *scale = size;
        }
    }
    return unit;
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
        const int32_t channel = spike.on, sign = spike.size > 0 ? 1 : -1, frame = extreme(s->state, spike.at, channel, sign);
        const int32_t peak = value_at(s->state, frame, channel);
        const int64_t least = bs_size(spike.size);
        if (sign * peak < (tables->level[channel] < least ? tables->level[channel] : least)) {
            continue; /* another spike has explained it */
        }
        cut(s, frame, channel, window);
        project(tables, channel, window, feature);
        const int32_t own = own_cluster(s, channel, feature);
        int32_t shift = 0, scale = 0;
        int32_t unit = best_unit(s, frame, channel, own >= 0 ? tables->cluster_unit[channel][own] : -1, window, &shift, &scale);
        if (unit < 0 && own >= 0) {
            unit = tables->cluster_unit[channel][own]; /* known by its features, but not to be subtracted */
        }
        if (own >= 0 && spike.depth == 0) {
            follow(s, channel, own, feature);
        }
        const int32_t home = unit >= 0 ? tables->unit_channel[unit] : channel, there = frame + shift;
        put(s, there - s->start, home, unit >= 0 ? value_at(s->state, there, home) : peak, unit);
        if (unit < 0 || scale == 0) {
            continue;
        }
        subtract(s, there, unit, scale);
        if (spike.depth < DEPTH) {
            waiting = look_again(s, there, unit, sign, spike.depth + 1, stack, waiting);
        }
    }
}

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
static void wait(bs_sorter_state *state, list on, int32_t at, int32_t channel, int32_t amplitude)
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

/* Says whether a spike is among the first PER_TICK of its tick, else counts it as dropped: so no list can be filled by one block that
 * another cut of the stream would not fill. */
static int expected(const bs_sorter_tables *tables, bs_sorter_state *state, int32_t frame)
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

/* The largest spike that has waited long enough and that no larger, later one nearby holds back; -1 if none. Being held back ends
 * after two ticks. Whatever could overlap a spike is known by then (`delay` sees to that). */
static int32_t next_of(const bs_sorter_tables *tables, const bs_sorter_state *state, int32_t now)
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

/* Says whether a spike has waited since frame `due`. */
static int ripe(const bs_sorter_state *state, int32_t due)
{
    for (int32_t w = 0; w < state->waiting; w++) {
        if (state->wait_at[w] <= due) {
            return 1;
        }
    }
    return 0;
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
        const int32_t chosen = next_of(s->tables, state, done);
        if (chosen < 0) {
            break;
        }
        const int32_t at = state->wait_at[chosen], on = state->wait_channel[chosen], size = state->wait_amplitude[chosen];
        take_off(waiting_of(state), chosen, 1);
        if (s->tables->learned == 0) {
            put(s, at, on, size, -1);
        } else {
            take(s, s->start + at, on, size);
        }
    }
}

/* Lets the spikes that arrived with earlier blocks wait their turn, up to frame `due`. */
static void admit(bs_sorter_state *state, int32_t due)
{
    int32_t first = 0;
    while (first < state->arriving && state->arrive_at[first] <= due) {
        wait(state, waiting_of(state), state->arrive_at[first], state->arrive_channel[first], state->arrive_amplitude[first]);
        first++;
    }
    take_off(arriving_of(state), 0, first);
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
        && tables->delay >= 0 && tables->delay <= BS_MAX_HELD_FRAMES && tables->ticks >= 1
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
        admit(state, due);
        for (; state->arriving == 0 && next_spike < spikes && spike_at[next_spike] <= due; next_spike++) {
            if (expected(tables, state, s.start + spike_at[next_spike])) {
                wait(state, waiting_of(state), spike_at[next_spike], spike_channel[next_spike], spike_amplitude[next_spike]);
            }
        }
        if (ripe(state, (int32_t)done - tables->delay)) {
            tick(&s, (int32_t)done);
        }
    }
    for (; next_spike < spikes; next_spike++) {
        if (expected(tables, state, s.start + spike_at[next_spike])) {
            wait(state, arriving_of(state), spike_at[next_spike], spike_channel[next_spike], spike_amplitude[next_spike]);
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
