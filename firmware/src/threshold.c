/* Detection by amplitude; pipeline/neural/threshold.py is the same text in Python. */
#include "bitspike/detection.h"
#include "bitspike/fixed.h"
#include "bitspike/noise.h"
#include "bitspike/threshold.h"

#define FRACTION 12u            /* fractional bits of the median */
#define MEAN_TO_MEDIAN 55401u   /* Q16: median over mean of |x| of a normal distribution */

/* Reports a value beyond its level if it is an extremum of a sign that is asked for. */
static void report_peak(const bs_threshold_tables *tables, bs_threshold_state *state, bs_peaks *peaks, int32_t frame, uint32_t c,
                        int32_t before, int32_t now, int32_t after)
{
    const int negative = tables->negative && now < 0 && now < before && now <= after;
    const int positive = tables->positive && now > 0 && now > before && now >= after;
    if (negative || positive) {
        bs_report(peaks, frame, c, now, tables->refractory, state->ready);
    }
}

/* The first channel from c on with |x| beyond its level: a fixed one, or its own. */
BS_INLINE uint32_t next_beyond(const int16_t *x, const int16_t *levels, uint32_t fixed, uint32_t c, uint32_t channels)
{
    const int16_t *at = x + c, *level = levels + (fixed != 0 ? 0 : c);
    BS_UNROLL(1)
    for (uint32_t fours = (channels - c) / 4; fours > 0; fours--) {
        BS_UNROLL(4)
        for (uint32_t k = 0; k < 4; k++) {
            const uint32_t limit = fixed != 0 ? fixed : (uint32_t)level[k];
            if (BS_SELDOM((uint32_t)at[k] + limit > 2 * limit)) {
                return (uint32_t)(at - x) + k;
            }
        }
        at += 4;
        level += fixed != 0 ? 0 : 4;
    }
    for (c = (uint32_t)(at - x); c < channels; c++) {
        const uint32_t limit = fixed != 0 ? fixed : (uint32_t)levels[c];
        if ((uint32_t)x[c] + limit > 2 * limit) {
            return c;
        }
    }
    return c;
}

BS_APART uint32_t next_beyond_own(const int16_t *x, const int16_t *levels, uint32_t c, uint32_t channels)
{
    return next_beyond(x, levels, 0, c, channels);
}

BS_APART uint32_t next_beyond_fixed(const int16_t *x, uint32_t fixed, uint32_t c, uint32_t channels)
{
    return next_beyond(x, x, fixed, c, channels);
}

/* Looks for peaks in the frame `now`, given its neighbours. */
static void detect(const bs_threshold_tables *tables, bs_threshold_state *state, bs_peaks *peaks, int32_t frame,
                   const int16_t *before, const int16_t *now, const int16_t *after, uint32_t channels)
{
    const uint32_t fixed = tables->fixed;
    for (uint32_t c = 0;; c++) {
        c = fixed != 0 ? next_beyond_fixed(now, fixed, c, channels) : next_beyond_own(now, state->level, c, channels);
        if (c >= channels) {
            return;
        }
        report_peak(tables, state, peaks, frame, c, before[c], now[c], after[c]);
    }
}

/* Takes one frame into the learning window. */
static void learn(bs_threshold_state *state, const int16_t *x, uint32_t channels)
{
    for (uint32_t c = 0; c < channels; c++) {
        state->noise_count[c] += bs_size(x[c]);
    }
}

/* Takes one frame into a window of looks. */
BS_APART void look(const int32_t *median, uint32_t *count, int32_t offset, const int16_t *x, uint32_t channels)
{
    BS_UNROLL(1)
    for (; channels > 0; channels--) {
        *count++ += bs_noise_exceeds(bs_size(*x++), FRACTION, *median++, offset);
    }
}

/* Ends a window: new estimates, and the levels that follow from them. */
BS_APART void close_window(const bs_threshold_tables *tables, bs_threshold_state *state, uint32_t channels)
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
        state->level[c] = (int16_t)bs_noise_level(median, tables->factor, FRACTION, INT16_MAX);
        state->noise_count[c] = 0;
    }
    state->noise_seen = 0;
    state->noise_windows = bs_noise_older(windows);
}

/* Takes a frame into the noise estimate when its turn has come. */
static void follow_noise(const bs_threshold_tables *tables, bs_threshold_state *state, const int16_t *x, int flagged, uint32_t channels)
{
    const int learning = state->noise_windows == 0;
    if (!learning && state->noise_wait > 0) {
        state->noise_wait--;
        return;
    }
    state->noise_wait = learning ? 0 : tables->noise_stride - 1;
    if (!flagged) {
        if (learning) {
            learn(state, x, channels);
        } else {
            look(state->noise_median, state->noise_count, bs_noise_offset(state->noise_seen, FRACTION), x, channels);
        }
        state->noise_seen++;
        if (state->noise_seen == (learning ? 1u << tables->noise_learn : BS_NOISE_LOOKS)) {
            close_window(tables, state, channels);
        }
    }
}

int32_t bs_threshold_init(const bs_threshold_tables *tables, bs_threshold_state *state)
{
    bs_threshold_reset(state);
    return tables->fixed <= INT16_MAX && tables->refractory <= 1u << 30 && tables->noise_stride >= 1
        && tables->noise_learn >= 6 && tables->noise_learn <= 16 && tables->noise_gain >= 1 && tables->noise_gain <= 65536
        ? 0 : BS_BAD_TABLES;
}

void bs_threshold_reset(bs_threshold_state *state)
{
    bs_clear(state, sizeof *state);
}

void bs_threshold_gap(bs_threshold_state *state)
{
    state->held = state->muted = state->noise_seen = state->noise_wait = 0;
    bs_clear(state->recent, sizeof state->recent);
    bs_clear(state->ready, sizeof state->ready);
    bs_clear(state->noise_count, sizeof state->noise_count);
    bs_clear(state->noise_excess, sizeof state->noise_excess);
}

int32_t bs_threshold_process(const bs_threshold_tables *tables, bs_threshold_state *state, const int16_t *x, const uint8_t *flags,
                             int32_t *at, int32_t *channel, int32_t *amplitude, uint32_t frames, uint32_t channels)
{
    bs_peaks peaks = {at, channel, amplitude, 0};
    const int16_t *before = state->recent[0], *now = state->recent[1];
    for (uint32_t n = 0; n < frames; n++) { /* a peak is known one frame after it */
        const int learning = tables->fixed == 0 && state->noise_windows == 0;
        if (state->held == 2 && !state->muted) {
            detect(tables, state, &peaks, (int32_t)n - 1, before, now, x, channels);
        }
        if (tables->fixed == 0) {
            follow_noise(tables, state, x, flags[n] != 0, channels);
        }
        state->muted = flags[n] != 0 || learning;
        state->held = state->held < 2 ? state->held + 1 : 2;
        before = now;
        now = x;
        x += channels;
    }
    if (frames > 0) {
        for (uint32_t c = 0; c < channels; c++) {
            state->recent[0][c] = before[c];
            state->recent[1][c] = now[c];
        }
        bs_pass_time(state->ready, frames, channels);
    }
    return peaks.count;
}
