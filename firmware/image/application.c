#include "application.h"

/* An interrupt has no other way to find them. */
bs_frames_ring bs_application_input;
bs_words_ring bs_application_output;
volatile int32_t bs_application_status;

static BS_CHAIN chain;

void bs_application_take(const int16_t *frame)
{
    bs_frames_ring *const ring = &bs_application_input;
    const uint32_t added = ring->added;
    if (ring->lost != ring->noticed || added - ring->taken >= BS_RING_FRAMES) {
        ring->lost++;
        return;
    }
    int16_t *const to = ring->frame[added % BS_RING_FRAMES];
    for (uint32_t c = 0; c < BS_CHAIN_CHANNELS; c++) {
        to[c] = frame[c];
    }
    ring->added = added + 1u;
}

/* Puts one output of the last block into the ring, if there is room. */
static void report(bs_words_ring *ring, uint32_t output, const bs_output *given)
{
    const bs_part parts[] = {
        {given->data, 2u * given->channels * given->count}, {given->flags, given->count},
        {given->at, 4u * given->count}, {given->channel, 4u * given->count},
        {given->amplitude, 4u * given->count}, {given->unit, 4u * given->count},
        {given->waveform, 2u * given->waveform_length * given->count}, {given->features, 4u * given->features_length * given->count},
    };
    bs_report(ring, output, given->first, given->count, parts, sizeof parts / sizeof parts[0]);
}

/* Processes up to `frames` of what waits, as far as they lie in a row, and reports what comes of it. */
static void process(bs_frames_ring *ring, uint32_t frames)
{
    const uint32_t first = ring->taken % BS_RING_FRAMES, straight = BS_RING_FRAMES - first;
    frames = frames < straight ? frames : straight; /* however the stream is cut, the results are the same */
    bs_application_status = BS_JOIN(BS_CHAIN, _process)(&chain, ring->frame[first], frames);
    for (uint32_t k = 0; k < BS_CHAIN_OUTPUTS && bs_application_status == 0; k++) {
        if (chain.output[k].count > 0) {
            report(&bs_application_output, k, &chain.output[k]);
        }
    }
    ring->taken += frames;
}

/* Tells the chain of frames that were lost after all that it has seen. */
static void skip(bs_frames_ring *ring, uint32_t missing)
{
    BS_JOIN(BS_CHAIN, _gap)(&chain, missing);
    ring->noticed += missing;
}

void bs_application_init(void)
{
    bs_application_status = BS_JOIN(BS_CHAIN, _init)(&chain);
}

void bs_application_run(void)
{
    bs_frames_ring *const ring = &bs_application_input;
    while (bs_application_status == 0) {
        const uint32_t missing = ring->lost - ring->noticed; /* read first: nothing is added after the first of them */
        const uint32_t waiting = ring->added - ring->taken;
        if (waiting >= BS_CHAIN_FRAMES) {
            process(ring, BS_CHAIN_FRAMES);
        } else if (missing == 0) {
            return;
        } else if (waiting > 0) {
            process(ring, waiting);
        } else {
            skip(ring, missing);
        }
    }
}
