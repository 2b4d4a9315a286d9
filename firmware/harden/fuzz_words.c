/* Any bytes for the decoders of a camera's words, in any pieces: nothing is read or written outside, no event is outside the sensor, time
 * never goes back, and however the stream is cut the events are the same.
 *
 * An input is: which decoder, width and height of the sensor, room for events, where the stream is cut, and then the stream. */
#include <stdlib.h>
#include <string.h>

#include "bitspike/evt2.h"
#include "bitspike/evt3.h"

#define MOST_ROOM 64u
#define HEAD 8u

typedef struct {
    int64_t *t;
    uint16_t *x, *y;
    uint8_t *p;
    size_t count;
} events;

typedef struct {
    uint32_t width, height, room, first, step;
} how;

static void *some(size_t size)
{
    void *const memory = malloc(size > 0 ? size : 1);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* A decoder: `decode` gives the next piece of the stream, in memory that ends where the piece ends, until it is taken. */
#define DECODER(name, most) \
    static events name(const how *given, const uint8_t *stream, size_t size, int pieces) \
    { \
        const bs_##name##_tables tables = {given->width, given->height}; \
        bs_##name##_state *const state = some(sizeof *state); \
        const uint32_t room = (most) + given->room; \
        const size_t all = size * (most) + (most); \
        events e = {some(8 * all), some(2 * all), some(2 * all), some(all), 0}; \
        int64_t *const t = some(8 * room); \
        uint16_t *const x = some(2 * room), *const y = some(2 * room); \
        uint8_t *const p = some(room); \
        if (bs_##name##_init(&tables, state) != 0) { \
            size = 0; \
        } \
        size_t at = 0; \
        uint32_t length = pieces ? given->first : (uint32_t)size; \
        int32_t n = 0; \
        while (at < size || n > 0) { \
            const size_t left = size - at; \
            const uint32_t count = length < left ? length : (uint32_t)left; \
            uint8_t *const piece = some(count); \
            uint32_t taken; \
            if (count > 0) { \
                memcpy(piece, stream + at, count); \
            } \
            n = bs_##name##_process(&tables, state, piece, t, x, y, p, &taken, count, room, at + count == size); \
            if (n < 0 || (uint32_t)n > room || taken > count || (n == 0 && taken < count) || e.count + (size_t)n > all) { \
                abort(); \
            } \
            for (int32_t k = 0; k < n; k++) { \
                if (x[k] >= tables.width || y[k] >= tables.height || p[k] > 1 || (e.count > 0 && t[k] < e.t[e.count - 1])) { \
                    abort(); \
                } \
                e.t[e.count] = t[k]; \
                e.x[e.count] = x[k]; \
                e.y[e.count] = y[k]; \
                e.p[e.count] = p[k]; \
                e.count++; \
            } \
            at += taken; \
            length = pieces ? given->step : length; \
            free(piece); \
        } \
        free(state); \
        free(t); \
        free(x); \
        free(y); \
        free(p); \
        return e; \
    }
DECODER(evt2, BS_EVT2_MOST)
DECODER(evt3, BS_EVT3_MOST)

static void free_events(const events *e)
{
    free(e->t);
    free(e->x);
    free(e->y);
    free(e->p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD) {
        return 0;
    }
    const how given = {
        .width = (uint32_t)data[1] * 8u + (data[0] >> 1 & 7u), .height = (uint32_t)data[2] * 8u + (data[0] >> 4 & 7u),
        .room = data[3] % MOST_ROOM, .first = data[4], .step = 1u + data[5] + (uint32_t)data[6] * data[7],
    };
    events (*const decode)(const how *, const uint8_t *, size_t, int) = (data[0] & 1u) != 0 ? evt3 : evt2;
    const events whole = decode(&given, data + HEAD, size - HEAD, 0), cut = decode(&given, data + HEAD, size - HEAD, 1);
    if (whole.count != cut.count || memcmp(whole.t, cut.t, 8 * cut.count) != 0 || memcmp(whole.x, cut.x, 2 * cut.count) != 0
        || memcmp(whole.y, cut.y, 2 * cut.count) != 0 || memcmp(whole.p, cut.p, cut.count) != 0) {
        abort();
    }
    free_events(&whole);
    free_events(&cut);
    return 0;
}
