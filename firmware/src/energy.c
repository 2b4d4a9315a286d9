/* Detection by the non-linear energy operator; pipeline/neural/energy.py is the same text in Python. */
#include "bitspike/detection.h"
#include "bitspike/energy.h"
#include "bitspike/fixed.h"
#include "bitspike/noise.h"

#define FRACTION 4u             /* fractional bits of the median */
#define LARGEST ((1u << 26) - 1u) /* of the |psi| that the median is taken of */
#define MEAN_TO_MEDIAN 41386u   /* Q16: median over mean of |psi| */

typedef struct {                /* where the frames lie that a decision looks at */
    const int16_t *x;           /* the block */
    const int16_t *recent;      /* the 2 k + 2 frames before it */
    int32_t held;               /* 2 k + 2 */
    int32_t spacing;            /* k */
    uint32_t channels;
} signal;

typedef struct {                /* the frames that make psi of one */
    const int16_t *now;
    const int16_t *middle;
    const int16_t *old;
} triple;

static const int16_t *row(const signal *from, int32_t n)
{
    return n >= 0 ? from->x + (uint32_t)n * from->channels : from->recent + (uint32_t)(from->held + n) * BS_MAX_CHANNELS;
}

BS_INLINE triple rows_of(const signal *from, int32_t n)
{
    const int32_t k = from->spacing;
    const int16_t *const old = row(from, n - 2 * k);
    if (n >= 2 * k) {
        const uint32_t back = (uint32_t)k * from->channels;
        return (triple){old + 2 * back, old + back, old};
    }
    return (triple){row(from, n), row(from, n - k), old};
}

/* psi, in no more than 32 bits: x^2 is at most 2^30, and the product is at least 2^15 - 2^30. */
BS_INLINE int32_t energy(triple rows, uint32_t c)
{
    const int32_t now = rows.now[c], middle = rows.middle[c], old = rows.old[c];
    return middle * middle - now * old;
}

/* Reports the largest sample of those that made psi[n-1], if that is a local maximum. */
BS_APART void report_maximum(const bs_energy_tables *tables, bs_energy_state *state, bs_peaks *peaks, const signal *from,
                           int32_t n, uint32_t c)
{
    const int32_t now = energy(rows_of(from, n - 1), c);
    if (now <= energy(rows_of(from, n - 2), c) || now < energy(rows_of(from, n), c)) {
        return;
    }
    int32_t best = n - 1 - 2 * from->spacing, value = row(from, best)[c];
    for (int32_t m = best + 1; m < n; m++) {
        const int32_t other = row(from, m)[c];
        if (bs_size(other) > bs_size(value)) {
            best = m;
            value = other;
        }
    }
    if ((value < 0 && tables->negative) || (value > 0 && tables->positive)) {
        bs_report(peaks, best, c, value, tables->refractory, state->ready);
    }
}

/* The first value with psi above its channel's level, from number i on, of as many frames as follow on those of `rows`: the frame in
 * this stretch times `channels`, plus the channel. */
BS_APART uint32_t next_above(const triple *rows, const int32_t *levels, uint32_t i, uint32_t channels, uint32_t frames)
{
    const uint32_t end = frames * channels;
    triple at = {rows->now + i, rows->middle + i, rows->old + i};
    const int32_t *level = levels + i % channels;
    while (i < end) {
        const uint32_t left = (uint32_t)(levels + channels - level);
        BS_UNROLL(1)
        for (uint32_t eights = left / 8; eights > 0; eights--) {
            BS_UNROLL(8)
            for (uint32_t k = 0; k < 8; k++) {
                if (BS_SELDOM(energy(at, k) > level[k])) {
                    return i + k;
                }
            }
            at = (triple){at.now + 8, at.middle + 8, at.old + 8};
            level += 8;
            i += 8;
        }
        BS_UNROLL(1)
        for (uint32_t n = left % 8; n > 0; n--) {
            if (energy(at, 0) > *level) {
                return i;
            }
            at = (triple){at.now + 1, at.middle + 1, at.old + 1};
            level++;
            i++;
        }
        level = levels;
    }
    return end;
}

/* Looks for maxima of psi that become known in `frames` frames from n on. */
static void detect(const bs_energy_tables *tables, bs_energy_state *state, bs_peaks *peaks, const signal *from, int32_t n,
                   uint32_t frames)
{
    const triple rows = rows_of(from, n - 1);
    const uint32_t channels = from->channels;
    for (uint32_t i = 0; (i = next_above(&rows, state->level, i, channels, frames)) < frames * channels; i++) {
        report_maximum(tables, state, peaks, from, n + (int32_t)(i / channels), i % channels);
    }
}

/* |psi| as the noise estimate sees it. */
BS_INLINE uint32_t size_of(triple rows, uint32_t c)
{
    const uint32_t size = bs_size(energy(rows, c));
    return size < LARGEST ? size : LARGEST;
}

/* Takes one frame into the learning window. */
static void learn(bs_energy_state *state, const triple *rows, uint32_t channels)
{
    for (uint32_t c = 0; c < channels; c++) {
        state->noise_count[c] += size_of(*rows, c);
    }
}

/* Takes one frame into a window of looks. */
BS_APART void look(const int32_t *median, uint64_t *count, int32_t offset, const triple *rows, uint32_t channels)
{
    triple at = *rows;
    BS_UNROLL(1)
    for (; channels > 0; channels--) {
        if (bs_noise_exceeds(size_of(at, 0), FRACTION, *median++, offset)) {
            ++*count;
        }
        count++;
        at = (triple){at.now + 1, at.middle + 1, at.old + 1};
    }
}

/* Ends a window: new estimates, and the levels that follow from them. */
BS_APART void close_window(const bs_energy_tables *tables, bs_energy_state *state, uint32_t channels)
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
        state->level[c] = bs_noise_level(median, tables->factor, FRACTION, INT32_MAX);
        state->noise_count[c] = 0;
    }
    state->noise_seen = 0;
    state->noise_windows = bs_noise_older(windows);
}

/* Takes one frame into the noise estimate; returns whether the learning window ends with it. */
static int take(const bs_energy_tables *tables, bs_energy_state *state, const triple *rows, uint32_t channels)
{
    const int learning = state->noise_windows == 0;
    if (learning) {
        learn(state, rows, channels);
    } else {
        look(state->noise_median, state->noise_count, bs_noise_offset(state->noise_seen, FRACTION), rows, channels);
    }
    state->noise_seen++;
    if (state->noise_seen != (learning ? 1u << tables->noise_learn : BS_NOISE_LOOKS)) {
        return 0;
    }
    close_window(tables, state, channels);
    return learning;
}

/* Takes frame n into the noise estimate when its turn has come; returns whether the learning window ends with it. */
static int follow_noise(const bs_energy_tables *tables, bs_energy_state *state, const signal *from, int32_t n, int flagged)
{
    const int learning = state->noise_windows == 0;
    if (!learning && state->noise_wait > 0) {
        state->noise_wait--;
        return 0;
    }
    state->noise_wait = learning ? 0 : tables->noise_stride - 1;
    if (flagged || state->held < 2 * tables->spacing) {
        return 0;
    }
    const triple rows = rows_of(from, n);
    return take(tables, state, &rows, from->channels);
}

/* How many frames from n on can be taken together: all that they look back on lies in the block, none is flagged, nothing is blocked,
 * and the levels stay as they are until the last of them. */
static uint32_t calm(const bs_energy_tables *tables, const bs_energy_state *state, const uint8_t *flags, uint32_t n, uint32_t frames)
{
    const uint32_t span = 2 * tables->spacing + 2;
    if (state->noise_windows == 0 || state->held != span || state->blocked != 0 || n + 1 < span) {
        return 0;
    }
    const uint64_t rest = state->noise_wait + (uint64_t)tables->noise_stride * (BS_NOISE_LOOKS - 1 - state->noise_seen) + 1;
    const uint32_t most = rest < frames - n ? (uint32_t)rest : frames - n;
    uint32_t length = 0;
    while (length < most && flags[n + length] == 0) {
        length++;
    }
    return length;
}

/* Takes those of `frames` calm frames from n on into the noise estimate whose turn it is. */
static void follow_calm_noise(const bs_energy_tables *tables, bs_energy_state *state, const signal *from, uint32_t n, uint32_t frames)
{
    uint32_t turn = state->noise_wait;
    while (turn < frames) {
        const triple rows = rows_of(from, (int32_t)(n + turn));
        (void)take(tables, state, &rows, from->channels); /* the learning window is over */
        turn += tables->noise_stride;
    }
    state->noise_wait = turn - frames;
}

int32_t bs_energy_init(const bs_energy_tables *tables, bs_energy_state *state)
{
    bs_energy_reset(state);
    return tables->spacing >= 1 && tables->spacing <= BS_ENERGY_MAX_SPACING && tables->refractory <= 1u << 30
        && tables->noise_stride >= 1 && tables->noise_stride <= 1u << 30 && tables->noise_learn >= 6 && tables->noise_learn <= 16
        && tables->noise_gain >= 1 && tables->noise_gain <= 65536 ? 0 : BS_BAD_TABLES;
}

void bs_energy_reset(bs_energy_state *state)
{
    bs_clear(state, sizeof *state);
}

void bs_energy_gap(bs_energy_state *state)
{
    state->held = state->blocked = state->noise_seen = state->noise_wait = 0;
    bs_clear(state->recent, sizeof state->recent);
    bs_clear(state->ready, sizeof state->ready);
    bs_clear(state->noise_count, sizeof state->noise_count);
    bs_clear(state->noise_excess, sizeof state->noise_excess);
}

int32_t bs_energy_process(const bs_energy_tables *tables, bs_energy_state *state, const int16_t *x, const uint8_t *flags,
                          int32_t *at, int32_t *channel, int32_t *amplitude, uint32_t frames, uint32_t channels)
{
    bs_peaks peaks = {at, channel, amplitude, 0};
    const uint32_t span = 2 * tables->spacing + 2;
    const signal from = {x, state->recent[0], (int32_t)span, (int32_t)tables->spacing, channels};
    for (uint32_t n = 0; n < frames;) {
        const uint32_t together = calm(tables, state, flags, n, frames);
        if (together > 0) {
            detect(tables, state, &peaks, &from, (int32_t)n, together);
            follow_calm_noise(tables, state, &from, n, together);
            n += together;
            continue;
        }
        const int flagged = flags[n] != 0;
        if (state->noise_windows != 0 && state->held == span && state->blocked == 0) {
            detect(tables, state, &peaks, &from, (int32_t)n, 1);
        }
        state->blocked -= state->blocked != 0;
        if (follow_noise(tables, state, &from, (int32_t)n, flagged) || flagged) {
            state->blocked = span - 1; /* for all psi that this frame takes part in */
        }
        state->held += state->held < span;
        n++;
    }
    for (int32_t r = 0; frames > 0 && r < (int32_t)span; r++) { /* oldest first: what is read has not been written yet */
        const int16_t *const kept = row(&from, (int32_t)frames - (int32_t)span + r);
        for (uint32_t c = 0; c < channels; c++) {
            state->recent[r][c] = kept[c];
        }
    }
    bs_pass_time(state->ready, frames, channels);
    return peaks.count;
}
