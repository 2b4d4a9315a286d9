#include "events.h"

/* An interrupt has no other way to find them. */
bs_bytes_ring bs_application_input;
bs_words_ring bs_application_output;
volatile int32_t bs_application_status;

static BS_CHAIN chain;

void bs_application_take(const uint8_t *bytes, uint32_t count)
{
    bs_bytes_ring *const ring = &bs_application_input;
    const uint32_t added = ring->added;
    if (ring->lost != ring->noticed || count > BS_RING_BYTES - (added - ring->taken)) {
        ring->lost += count;
        return;
    }
    for (uint32_t k = 0; k < count; k++) {
        ring->byte[(added + k) % BS_RING_BYTES] = bytes[k];
    }
    ring->added = added + count;
}

/* Puts one output of the last block into the ring, if there is room. */
static void report(bs_words_ring *ring, uint32_t output, const bs_event_output *given)
{
    const bs_part parts[] = {
        {given->t, 8u * given->count}, {given->x, 2u * given->count}, {given->y, 2u * given->count}, {given->p, given->count},
        {given->records, 4u * given->records_length * given->count}, {given->tensors, given->tensors_length * given->count},
    };
    bs_report(ring, output, given->stop, given->count, parts, sizeof parts / sizeof parts[0]);
}

/* Decodes and processes what waits, as far as it lies in a row and makes one block, and reports what comes of it. */
static void process(bs_bytes_ring *ring, uint32_t waiting)
{
    const uint32_t first = ring->taken % BS_RING_BYTES, straight = BS_RING_BYTES - first;
    const int32_t taken = BS_JOIN(BS_CHAIN, _decode)(&chain, ring->byte + first, waiting < straight ? waiting : straight);
    if (taken < 0) {
        bs_application_status = taken;
        return;
    }
    for (uint32_t k = 0; k < BS_CHAIN_OUTPUTS; k++) {
        if (chain.output[k].count > 0) {
            report(&bs_application_output, k, &chain.output[k]);
        }
    }
    ring->taken += (uint32_t)taken;
}

void bs_application_init(void)
{
    bs_application_status = BS_JOIN(BS_CHAIN, _init)(&chain);
}

void bs_application_run(void)
{
    bs_bytes_ring *const ring = &bs_application_input;
    while (bs_application_status == 0) {
        const uint32_t missing = ring->lost - ring->noticed; /* read first: nothing is added after the first of them */
        const uint32_t waiting = ring->added - ring->taken;
        if (waiting > 0) {
            process(ring, waiting);
        } else if (missing > 0) {
            BS_JOIN(BS_CHAIN, _gap)(&chain);
            ring->noticed += missing;
        } else {
            return;
        }
    }
}
