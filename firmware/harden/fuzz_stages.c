/* Any bytes for tables, any signal: what a stage's init accepts, its process survives, and nothing is read or written outside.
 *
 * An input is the number of a stage in STAGES, its tables, then the signal. Memory that a stage is given ends where it may end, so
 * that the sanitizers see one byte more. Each stage processes two blocks, with a gap or a reset between them. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "bitspike/adc.h"
#include "bitspike/artefact.h"
#include "bitspike/background.h"
#include "bitspike/bandpass.h"
#include "bitspike/biquad.h"
#include "bitspike/components.h"
#include "bitspike/correlation.h"
#include "bitspike/decimate.h"
#include "bitspike/energy.h"
#include "bitspike/exclusion.h"
#include "bitspike/extrema.h"
#include "bitspike/hot_pixels.h"
#include "bitspike/polarity.h"
#include "bitspike/pooling.h"
#include "bitspike/rate_guard.h"
#include "bitspike/reference.h"
#include "bitspike/refractory.h"
#include "bitspike/region.h"
#include "bitspike/snippets.h"
#include "bitspike/sorter.h"
#include "bitspike/threshold.h"
#include "bitspike/tracker.h"

#define MOST_FRAMES 160u
#define MOST_SPIKES 24u
#define ROOM 4096u /* spikes that a stage may hold, and more */

typedef struct {
    const uint8_t *at;
    size_t left;
} bytes;

/* Fills memory from the input; what the input lacks is zero. */
static void take(bytes *in, void *memory, size_t size)
{
    const size_t have = size < in->left ? size : in->left;
    memset(memory, 0, size);
    if (have > 0) {
        memcpy(memory, in->at, have);
        in->at += have;
        in->left -= have;
    }
}

static uint32_t number(bytes *in, uint32_t most)
{
    uint8_t value;
    take(in, &value, 1);
    return value % (most + 1u);
}

/* Memory of a size of its own, filled from the input where there is one. */
static void *some(bytes *in, size_t size)
{
    void *const memory = malloc(size);
    if (memory == NULL) {
        abort();
    }
    if (in != NULL) {
        take(in, memory, size);
    }
    return memory;
}

/* The tables of a stage and its state, set to start from; ends the function where the tables are refused. */
#define BEGIN(stage) \
    bs_##stage##_tables *const tables = some(in, sizeof *tables); \
    bs_##stage##_state *const state = some(NULL, sizeof *state); \
    if (bs_##stage##_init(tables, state) != 0) { \
        free(tables); \
        free(state); \
        return; \
    }
#define END() \
    free(tables); \
    free(state)

/* A stage from samples to samples, of as many channels as its tables are for. */
#define SAMPLES(stage, count) \
    static void stage(bytes *in) \
    { \
        BEGIN(stage) \
        const uint32_t channels = (count); \
        for (int block = 0; block < 2; block++) { \
            const uint32_t frames = number(in, MOST_FRAMES); \
            int16_t *const x = some(in, sizeof *x * frames * channels), *const y = some(NULL, sizeof *y * frames * channels); \
            bs_##stage##_process(tables, state, x, y, frames, channels); \
            bs_##stage##_process(tables, state, x, x, frames, channels); \
            free(x); \
            free(y); \
        } \
        bs_##stage##_reset(state); \
        END(); \
    }
SAMPLES(adc, 1u + number(in, BS_MAX_CHANNELS - 1u))
SAMPLES(bandpass, 1u + number(in, BS_MAX_CHANNELS - 1u))
SAMPLES(biquad, 1u + number(in, BS_MAX_CHANNELS - 1u))
SAMPLES(reference, tables->begin[tables->groups])

static void artefact(bytes *in)
{
    BEGIN(artefact)
    const uint32_t channels = 1u + number(in, BS_MAX_CHANNELS - 1u);
    for (int block = 0; block < 2; block++) {
        const uint32_t frames = number(in, MOST_FRAMES);
        uint8_t *const given = some(in, frames), *const flags = some(NULL, frames);
        int16_t *const x = some(in, sizeof *x * frames * channels);
        bs_artefact_process(tables, state, x, given, flags, frames, channels);
        bs_artefact_process(tables, state, x, flags, flags, frames, channels);
        bs_artefact_gap(state);
        free(given);
        free(flags);
        free(x);
    }
    END();
}

static void decimate(bytes *in)
{
    BEGIN(decimate)
    const uint32_t channels = 1u + number(in, BS_MAX_CHANNELS - 1u), factor = tables->ratio * tables->keep;
    uint32_t phase = number(in, 255);
    if (factor > 4096u) { /* it only takes longer */
        END();
        return;
    }
    for (int block = 0; block < 2; block++) {
        const uint32_t frames = number(in, MOST_FRAMES);
        const uint32_t first = (factor - phase % factor) % factor, outputs = frames > first ? (frames - first - 1u) / factor + 1u : 0u;
        uint8_t *const given = some(in, frames), *const flags = some(NULL, outputs);
        int16_t *const x = some(in, sizeof *x * frames * channels), *const y = some(NULL, sizeof *y * outputs * channels);
        bs_decimate_process(tables, state, x, given, y, flags, phase, frames, channels);
        phase += frames;
        free(given);
        free(flags);
        free(x);
        free(y);
    }
    END();
}

/* A detector. */
#define DETECTOR(stage) \
    static void stage(bytes *in) \
    { \
        BEGIN(stage) \
        const uint32_t channels = 1u + number(in, BS_MAX_CHANNELS - 1u); \
        for (int block = 0; block < 2; block++) { \
            const uint32_t frames = number(in, MOST_FRAMES); \
            const size_t room = sizeof(int32_t) * frames * channels; \
            uint8_t *const flags = some(in, frames); \
            int16_t *const x = some(in, sizeof *x * frames * channels); \
            int32_t *const at = some(NULL, room), *const channel = some(NULL, room), *const amplitude = some(NULL, room); \
            for (int again = 0; again < 8; again++) { /* the learning window takes a while */ \
                bs_##stage##_process(tables, state, x, flags, at, channel, amplitude, frames, channels); \
            } \
            bs_##stage##_gap(state); \
            free(flags); \
            free(x); \
            free(at); \
            free(channel); \
            free(amplitude); \
        } \
        END(); \
    }
DETECTOR(energy)
DETECTOR(threshold)

/* Spikes that may lie anywhere near a block: two bytes of time, one of channel, four of amplitude. */
static void take_spikes(bytes *in, uint32_t spikes, int32_t *at, int32_t *channel, int32_t *amplitude)
{
    for (uint32_t k = 0; k < spikes; k++) {
        int16_t time;
        int8_t place;
        take(in, &time, sizeof time);
        take(in, &place, sizeof place);
        take(in, &amplitude[k], sizeof amplitude[k]);
        at[k] = time;
        channel[k] = place;
    }
}

static void exclusion(bytes *in)
{
    BEGIN(exclusion)
    int32_t *const out[3] = {some(NULL, sizeof(int32_t) * ROOM), some(NULL, sizeof(int32_t) * ROOM), some(NULL, sizeof(int32_t) * ROOM)};
    for (int block = 0; block < 2; block++) {
        const uint32_t frames = number(in, MOST_FRAMES), spikes = number(in, MOST_SPIKES);
        int32_t *const at = some(NULL, sizeof *at * spikes), *const channel = some(NULL, sizeof *channel * spikes);
        int32_t *const amplitude = some(NULL, sizeof *amplitude * spikes);
        take_spikes(in, spikes, at, channel, amplitude);
        for (int again = 0; again < 20; again++) { /* until the list is full */
            bs_exclusion_process(tables, state, at, channel, amplitude, out[0], out[1], out[2], spikes, frames, BS_MAX_CHANNELS);
        }
        free(at);
        free(channel);
        free(amplitude);
    }
    for (int k = 0; k < 3; k++) {
        free(out[k]);
    }
    END();
}

static void snippets(bytes *in)
{
    BEGIN(snippets)
    for (int block = 0; block < 2; block++) {
        const uint32_t frames = number(in, MOST_FRAMES), spikes = number(in, MOST_SPIKES), most = spikes + state->pending;
        int16_t *const waveform = some(NULL, sizeof *waveform * most * tables->width * tables->neighbours);
        int32_t *given[4], *out[4];
        for (int k = 0; k < 4; k++) {
            given[k] = some(NULL, sizeof(int32_t) * spikes);
            out[k] = some(NULL, sizeof(int32_t) * most);
        }
        take_spikes(in, spikes, given[0], given[1], given[2]);
        memset(given[3], 0, sizeof(int32_t) * spikes);
        int16_t *const x = some(in, sizeof *x * frames * BS_MAX_CHANNELS);
        bs_snippets_process(tables, state, x, given[0], given[1], given[2], given[3], out[0], out[1], out[2], out[3], waveform,
                            frames, BS_MAX_CHANNELS, spikes);
        for (int k = 0; k < 4; k++) {
            free(given[k]);
            free(out[k]);
        }
        free(x);
        free(waveform);
    }
    END();
}

static void sorter(bytes *in)
{
    BEGIN(sorter)
    for (int block = 0; block < 2; block++) {
        const uint32_t frames = number(in, MOST_FRAMES), spikes = number(in, MOST_SPIKES), room = 2u * MOST_SPIKES;
        int32_t *given[3], *out[4];
        for (int k = 0; k < 3; k++) {
            given[k] = some(NULL, sizeof(int32_t) * spikes);
        }
        for (int k = 0; k < 4; k++) {
            out[k] = some(NULL, sizeof(int32_t) * room);
        }
        take_spikes(in, spikes, given[0], given[1], given[2]);
        int16_t *const x = some(in, sizeof *x * frames * BS_MAX_CHANNELS);
        for (int again = 0; again < 4; again++) { /* until what waits is decided */
            bs_sorter_process(tables, state, x, given[0], given[1], given[2], out[0], out[1], out[2], out[3],
                              frames, BS_MAX_CHANNELS, spikes, room);
        }
        for (int k = 0; k < 3; k++) {
            free(given[k]);
        }
        for (int k = 0; k < 4; k++) {
            free(out[k]);
        }
        free(x);
        bs_sorter_gap(state);
    }
    END();
}

/* Features of waveforms. */
#define FEATURES(stage, count) \
    static void stage(bytes *in) \
    { \
        BEGIN(stage) \
        const uint32_t spikes = number(in, 3); \
        int16_t *const waveform = some(in, sizeof *waveform * spikes * tables->width * tables->neighbours); \
        int32_t *const features = some(NULL, sizeof *features * spikes * tables->neighbours * (count)); \
        bs_##stage##_process(tables, state, waveform, features, spikes); \
        free(waveform); \
        free(features); \
        END(); \
    }
FEATURES(components, tables->count)
FEATURES(extrema, BS_EXTREMA_FEATURES)

/* Events of any times, places and polarities. */
typedef struct {
    uint32_t count;
    int64_t *t, *out_t;
    uint16_t *x, *y, *out_x, *out_y;
    uint8_t *p, *out_p;
} events;

static events some_events(bytes *in)
{
    events e = {.count = number(in, MOST_FRAMES)};
    e.t = some(in, sizeof *e.t * e.count);
    e.x = some(in, sizeof *e.x * e.count);
    e.y = some(in, sizeof *e.y * e.count);
    e.p = some(in, e.count);
    e.out_t = some(NULL, sizeof *e.out_t * e.count);
    e.out_x = some(NULL, sizeof *e.out_x * e.count);
    e.out_y = some(NULL, sizeof *e.out_y * e.count);
    e.out_p = some(NULL, e.count);
    return e;
}

static void free_events(const events *e)
{
    free(e->t);
    free(e->x);
    free(e->y);
    free(e->p);
    free(e->out_t);
    free(e->out_x);
    free(e->out_y);
    free(e->out_p);
}

/* A stage from events to events. */
#define EVENTS(stage) \
    static void stage(bytes *in) \
    { \
        BEGIN(stage) \
        for (int block = 0; block < 2; block++) { \
            const events e = some_events(in); \
            bs_##stage##_process(tables, state, e.t, e.x, e.y, e.p, e.out_t, e.out_x, e.out_y, e.out_p, e.count); \
            bs_##stage##_process(tables, state, e.t, e.x, e.y, e.p, e.t, e.x, e.y, e.p, e.count); \
            free_events(&e); \
        } \
        bs_##stage##_reset(state); \
        END(); \
    }
EVENTS(background)
EVENTS(correlation)
EVENTS(hot_pixels)
EVENTS(polarity)
EVENTS(pooling)
EVENTS(rate_guard)
EVENTS(refractory)
EVENTS(region)

static void tracker(bytes *in)
{
    BEGIN(tracker)
    for (int block = 0; block < 2; block++) {
        const events e = some_events(in);
        const size_t room = (size_t)tables->most + e.count / (uint32_t)tables->limits[0] + 1u;
        int32_t *const out = some(NULL, sizeof *out * BS_RECORD_FIELDS * room);
        uint8_t *const tensors = some(NULL, room * tables->size);
        uint32_t stop;
        take(in, &stop, sizeof stop);
        bs_tracker_process(tables, state, e.t, e.x, e.y, e.p, out, tensors, e.count, stop);
        bs_tracker_gap(state);
        free(out);
        free(tensors);
        free_events(&e);
    }
    END();
}

static void (*const STAGES[])(bytes *) = {
    adc, artefact, background, bandpass, biquad, components, correlation, decimate, energy, exclusion, extrema, hot_pixels,
    polarity, pooling, rate_guard, reference, refractory, region, snippets, sorter, threshold, tracker,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bytes in = {data, size};
    STAGES[number(&in, sizeof STAGES / sizeof STAGES[0] - 1u)](&in);
    return 0;
}
