/* Flags of saturation and artefacts; pipeline/neural/artefact.py is the same text in Python. */
#include "bitspike/artefact.h"
#include "bitspike/fixed.h"
#include "bitspike/noise.h"

#define FRACTION 12u            /* fractional bits of the median */
#define MEAN_TO_MEDIAN 55401u   /* Q16: median over mean of |x| of a normal distribution */
#define LARGEST_STEP 65535

/* Says whether a sample is off the rails, and its step within its level. */
BS_INLINE int is_calm(int32_t before, int32_t now, uint32_t level, int32_t low, uint32_t range)
{
    return (uint32_t)(now - before) + level <= 2 * level && (uint32_t)(now - low) - 1 < range;
}

/* Says whether all samples of a frame are; `range` values lie between the rails. */
BS_APART int calm(const int16_t *before, const int16_t *now, const uint16_t *level, int32_t low, uint32_t range, uint32_t channels)
{
    BS_UNROLL(1)
    for (uint32_t fours = channels / 4; fours > 0; fours--) {
        BS_UNROLL(4)
        for (uint32_t k = 0; k < 4; k++) {
            if (BS_SELDOM(!is_calm(before[k], now[k], level[k], low, range))) {
                return 0;
            }
        }
        before += 4;
        now += 4;
        level += 4;
    }
    for (uint32_t k = 0; k < channels % 4; k++) {
        if (!is_calm(before[k], now[k], level[k], low, range)) {
            return 0;
        }
    }
    return 1;
}

/* How many channels' steps are beyond their level. */
static uint32_t count_steps(const bs_artefact_state *state, const int16_t *before, const int16_t *now, uint32_t channels)
{
    uint32_t stepped = 0;
    for (uint32_t c = 0; c < channels; c++) {
        stepped += bs_size(now[c] - before[c]) > state->level[c];
    }
    return stepped;
}

/* Continues or ends each channel's run at the rails; how many are long enough. */
static uint32_t count_rails(const bs_artefact_tables *tables, bs_artefact_state *state, const int16_t *now, uint32_t channels)
{
    uint32_t saturated = 0, pending = 0;
    for (uint32_t c = 0; c < channels; c++) {
        const uint32_t longer = state->run[c] < tables->rail_samples ? state->run[c] + 1u : tables->rail_samples;
        const uint32_t run = now[c] <= tables->low || now[c] >= tables->top ? longer : 0;
        state->run[c] = (uint8_t)run;
        saturated += run == tables->rail_samples;
        pending |= run;
    }
    state->pending = pending;
    return saturated;
}

/* Takes one frame's steps into the learning window. */
static void learn(bs_artefact_state *state, const int16_t *before, const int16_t *now, uint32_t channels)
{
    for (uint32_t c = 0; c < channels; c++) {
        state->noise_count[c] += bs_size(now[c] - before[c]);
    }
}

/* Takes one frame's steps into a window of looks. */
BS_APART void look(const int32_t *median, uint32_t *count, int32_t offset, const int16_t *before, const int16_t *now, uint32_t channels)
{
    BS_UNROLL(1)
    for (; channels > 0; channels--) {
        *count++ += bs_noise_exceeds(bs_size(*now++ - *before++), FRACTION, *median++, offset);
    }
}

/* Ends a window: new estimates, and the levels that follow from them. */
BS_APART void close_window(const bs_artefact_tables *tables, bs_artefact_state *state, uint32_t channels)
{
    const uint32_t windows = state->noise_windows;
    const int32_t gain = bs_noise_gain_now(windows, tables->noise_gain);
    for (uint32_t c = 0; c < channels; c++) {
        int32_t median = state->noise_median[c];
        if (windows == 0) {
            median = bs_noise_first(state->noise_count[c], tables->noise_learn, FRACTION, MEAN_TO_MEDIAN);
        } else {
            const int32_t excess = (int32_t)state->noise_count[c] - (int32_t)(BS_NOISE_LOOKS / 2);
            median = bs_noise_next(median, excess, state->noise_excess[c], gain, windows, FRACTION);
            state->noise_excess[c] = excess;
        }
        state->noise_median[c] = median;
        state->level[c] = (uint16_t)bs_noise_level(median, tables->factor, FRACTION, LARGEST_STEP);
        state->noise_count[c] = 0;
    }
    state->noise_seen = 0;
    state->noise_windows = bs_noise_older(windows);
}

/* Takes a frame's steps into the noise estimate when its turn has come. */
static void follow_noise(const bs_artefact_tables *tables, bs_artefact_state *state, const int16_t *before, const int16_t *now,
                         int flagged, uint32_t channels)
{
    const int learning = state->noise_windows == 0;
    if (!learning && state->noise_wait > 0) {
        state->noise_wait--;
        return;
    }
    state->noise_wait = learning ? 0 : tables->noise_stride - 1;
    if (!flagged) {
        if (learning) {
            learn(state, before, now, channels);
        } else {
            look(state->noise_median, state->noise_count, bs_noise_offset(state->noise_seen, FRACTION), before, now, channels);
        }
        state->noise_seen++;
        if (state->noise_seen == (learning ? 1u << tables->noise_learn : BS_NOISE_LOOKS)) {
            close_window(tables, state, channels);
        }
    }
}

/* What a frame is to be flagged with. */
static uint32_t judge(const bs_artefact_tables *tables, bs_artefact_state *state, const int16_t *before, const int16_t *now,
                      uint32_t channels)
{
    const int idle = state->hold_rail == 0 && state->hold_step == 0 && state->pending == 0;
    const uint32_t range = (uint32_t)(tables->top - tables->low) - 1;
    if (idle && calm(before, now, state->level, tables->low, range, channels)) {
        return 0;
    }
    const uint32_t saturated = count_rails(tables, state, now, channels);
    state->hold_rail = saturated >= tables->rail_channels ? tables->hold : state->hold_rail - (state->hold_rail != 0);
    const uint32_t stepped = count_steps(state, before, now, channels);
    state->hold_step = stepped >= tables->step_channels ? tables->hold : state->hold_step - (state->hold_step != 0);
    return (state->hold_rail != 0 ? BS_SATURATED : 0) | (state->hold_step != 0 ? BS_ARTEFACT : 0);
}

int32_t bs_artefact_init(const bs_artefact_tables *tables, bs_artefact_state *state)
{
    bs_artefact_reset(state);
    return tables->rail_samples >= 1 && tables->rail_samples <= UINT8_MAX && tables->rail_channels >= 1
        && tables->step_channels >= 1 && tables->hold >= 1 && tables->fixed <= LARGEST_STEP && tables->noise_stride >= 1
        && tables->noise_learn >= 6 && tables->noise_learn <= 16 && tables->noise_gain >= 1 && tables->noise_gain <= 65536
        ? 0 : BS_BAD_TABLES;
}

void bs_artefact_reset(bs_artefact_state *state)
{
    bs_clear(state, sizeof *state);
}

void bs_artefact_gap(bs_artefact_state *state)
{
    state->primed = state->pending = state->hold_rail = state->hold_step = state->noise_seen = state->noise_wait = 0;
    bs_clear(state->last, sizeof state->last);
    bs_clear(state->run, sizeof state->run);
    bs_clear(state->noise_count, sizeof state->noise_count);
    bs_clear(state->noise_excess, sizeof state->noise_excess);
}

int32_t bs_artefact_process(const bs_artefact_tables *tables, bs_artefact_state *state, const int16_t *x, const uint8_t *given,
                            uint8_t *flags, uint32_t frames, uint32_t channels)
{
    if (frames == 0) {
        return 0;
    }
    if (!state->primed) { /* the first frame is no step */
        state->primed = 1;
        for (uint32_t c = 0; c < channels; c++) {
            state->last[c] = x[c];
            if (tables->fixed != 0 || state->noise_windows == 0) {
                state->level[c] = tables->fixed != 0 ? (uint16_t)tables->fixed : LARGEST_STEP;
            }
        }
    }
    uint32_t flagged = 0;
    const int16_t *before = state->last;
    for (uint32_t n = 0; n < frames; n++) {
        const uint32_t flag = given[n] | judge(tables, state, before, x, channels);
        if (tables->fixed == 0) {
            follow_noise(tables, state, before, x, flag != 0, channels);
        }
        flags[n] = (uint8_t)flag;
        flagged |= flag;
        before = x;
        x += channels;
    }
    for (uint32_t c = 0; c < channels; c++) {
        state->last[c] = before[c];
    }
    return (int32_t)flagged;
}
