/* Snippet extraction; pipeline/neural/snippets.py is the same text in Python. */
#include "bitspike/detection.h"
#include "bitspike/fixed.h"
#include "bitspike/snippets.h"

#define HISTORY BS_SNIPPETS_HISTORY
#define TAPS BS_SNIPPETS_TAPS
#define PHASES BS_SNIPPETS_PHASES
#define OLDEST (-0x40000000) /* frame that stands for all before it */

typedef struct {                        /* the signal: a block, and what came before */
    const int16_t *x;
    const bs_snippets_state *state;
    uint32_t channels;
} signal;

/* Gathers `length` frames of a channel from frame `first` on; negative frames are in the history, channel -1 is silent. */
static void fetch(const signal *from, int32_t first, uint32_t length, int32_t c, int16_t *values)
{
    for (uint32_t i = 0; i < length; i++) {
        const int32_t n = first + (int32_t)i;
        if (c < 0) {
            values[i] = 0;
        } else if (n >= 0) {
            values[i] = from->x[(uint32_t)n * from->channels + (uint32_t)c];
        } else {
            values[i] = from->state->history[(from->state->next_row + (uint32_t)n) % HISTORY][c];
        }
    }
}

/* Where the parabola through three samples turns, relative to the middle one, in 1 / upsample, at most half a sample. */
static int32_t vertex(int32_t before, int32_t now, int32_t after, uint32_t upsample)
{
    const int32_t slope = before - after, bend = before - 2 * now + after;
    const uint32_t turn = bs_size(slope) * upsample, size = bs_size(bend);
    uint32_t steps = (uint32_t)(turn >= size) + (turn >= 3 * size);
    if (size == 0) {
        return 0;
    }
    steps = steps < upsample / 2 ? steps : upsample / 2;
    return (slope < 0) != (bend < 0) ? -(int32_t)steps : (int32_t)steps;
}

/* One channel of a snippet, every `stride`-th value: each the sum over eight samples, rounded to nearest. */
static void interpolate(const int16_t *values, const int16_t *taps, int16_t *snippet, uint32_t width, uint32_t stride)
{
    for (uint32_t i = 0; i < width; i++) {
        int32_t total = 1 << 14;
        BS_UNROLL(8)
        for (uint32_t t = 0; t < TAPS; t++) {
            total = bs_add(total, taps[t] * values[i + t]);
        }
        *snippet = bs_saturate16(total >> 15);
        snippet += stride;
    }
}

/* Cuts one snippet: int16 [width][neighbours], around frame `at`. */
static void cut(const bs_snippets_tables *tables, const signal *from, int32_t at, int32_t channel, int16_t *waveform)
{
    const uint32_t width = tables->width, neighbours = tables->neighbours;
    const int16_t *const near = tables->near[channel];
    int16_t values[BS_SNIPPETS_MAX_WIDTH + TAPS];
    fetch(from, at - 1, 3, near[0], values);
    const int32_t shift = vertex(values[0], values[1], values[2], tables->upsample) * (int32_t)(PHASES / tables->upsample);
    const int32_t first = at - (int32_t)tables->before + (shift >> 2);
    const uint32_t phase = (uint32_t)shift % PHASES;
    for (uint32_t j = 0; j < neighbours; j++) {
        if (phase == 0) {
            fetch(from, first, width, near[j], values);
            for (uint32_t i = 0; i < width; i++) {
                waveform[i * neighbours + j] = values[i];
            }
        } else {
            fetch(from, first - TAPS / 2 + 1, width + TAPS - 1, near[j], values);
            interpolate(values, tables->taps[phase], waveform + j, width, neighbours);
        }
    }
}

/* Takes the spikes before frame `limit` that have been passed on off the list. */
static void forget(bs_snippets_state *state, int32_t limit)
{
    uint32_t gone = 0;
    while (gone < state->done && state->when[gone] < limit) {
        gone++;
    }
    if (gone == 0) {
        return;
    }
    for (uint32_t i = gone; i < state->pending; i++) {
        state->when[i - gone] = state->when[i];
        state->channel[i - gone] = state->channel[i];
        state->amplitude[i - gone] = state->amplitude[i];
        state->unit[i - gone] = state->unit[i];
    }
    state->pending -= gone;
    state->done -= gone;
}

static int32_t older(int32_t when, uint32_t frames)
{
    const int64_t moved = (int64_t)when - frames;
    return moved < OLDEST ? OLDEST : (int32_t)moved;
}

int32_t bs_snippets_init(const bs_snippets_tables *tables, bs_snippets_state *state)
{
    bs_snippets_reset(state);
    const int upsample = tables->upsample == 1 || tables->upsample == 2 || tables->upsample == 4;
    const int good = upsample && tables->width >= 1 && tables->width <= BS_SNIPPETS_MAX_WIDTH && tables->before < tables->width
        && tables->neighbours >= 1 && tables->neighbours <= BS_SNIPPETS_MAX_NEIGHBOURS && tables->tail <= tables->wait
        && tables->wait < 1u << 24;
    for (uint32_t k = 0; good && k < BS_MAX_CHANNELS * tables->neighbours; k++) {
        const int32_t near = tables->near[k / tables->neighbours][k % tables->neighbours];
        if (near < -1 || near >= BS_MAX_CHANNELS) {
            return BS_BAD_TABLES;
        }
    }
    return good ? 0 : BS_BAD_TABLES;
}

void bs_snippets_reset(bs_snippets_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_snippets_process(const bs_snippets_tables *tables, bs_snippets_state *state, const int16_t *x,
                            const int32_t *in_at, const int32_t *in_channel, const int32_t *in_amplitude, const int32_t *in_unit,
                            int32_t *out_at, int32_t *out_channel, int32_t *out_amplitude, int32_t *out_unit, int16_t *waveform,
                            uint32_t frames, uint32_t channels, uint32_t spikes)
{
    for (uint32_t k = 0; k < spikes; k++) {
        if (in_channel[k] < 0 || in_channel[k] >= (int32_t)channels) {
            return BS_NO_CHANNEL;
        }
        if (in_at[k] < (int32_t)tables->before + TAPS / 2 - HISTORY || in_at[k] >= (int32_t)frames) {
            return BS_NO_TIME;
        }
    }
    const signal from = {x, state, channels};
    int32_t found = 0;
    for (uint32_t k = 0; k <= spikes; k++) {
        /* the spikes that leave the list, and after the last arrival all others that are complete, are passed on */
        const int32_t limit = k < spikes ? in_at[k] - (int32_t)tables->wait : (int32_t)frames - (int32_t)tables->tail;
        for (uint32_t i = state->done; i < state->pending && state->when[i] < limit; i++) {
            out_at[found] = state->when[i];
            out_channel[found] = state->channel[i];
            out_amplitude[found] = state->amplitude[i];
            out_unit[found] = state->unit[i];
            cut(tables, &from, state->when[i], state->channel[i], waveform);
            waveform += tables->width * tables->neighbours;
            found++;
            state->done = i + 1;
        }
        if (k == spikes) {
            break;
        }
        if (in_at[k] < state->newest - BS_LAG) {
            state->late++;
            continue;
        }
        state->newest = in_at[k] > state->newest ? in_at[k] : state->newest;
        forget(state, limit);
        const uint32_t end = state->pending;
        if (end == BS_SNIPPETS_ROOM) {
            state->overflow++;
            continue;
        }
        state->when[end] = in_at[k];
        state->channel[end] = in_channel[k];
        state->amplitude[end] = in_amplitude[k];
        state->unit[end] = in_unit[k];
        state->pending++;
    }
    state->newest = older(state->newest, frames);
    for (uint32_t i = 0; i < state->pending; i++) {
        state->when[i] = older(state->when[i], frames);
    }
    const uint32_t kept = frames < HISTORY ? frames : HISTORY;
    for (uint32_t n = frames - kept; n < frames; n++) {
        for (uint32_t c = 0; c < channels; c++) {
            state->history[(state->next_row + n) % HISTORY][c] = x[n * channels + c];
        }
    }
    state->next_row = (state->next_row + frames) % HISTORY;
    return found;
}
