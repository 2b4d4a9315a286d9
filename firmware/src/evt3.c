/* Decoder of EVT3; sensors/events/evt3.py is the same in Python, where what waits here is looked ahead for. */
#include "bitspike/evt3.h"
#include "bitspike/fixed.h"

#define SIZE 2u       /* bytes of a word */
#define UNIT 12u      /* bits of the time below those of TIME_HIGH */
#define MASK 0xFFFu   /* of the value of TIME_HIGH */
#define NOWHERE 4096u /* a row or column outside of every sensor */

int32_t bs_evt3_init(const bs_evt3_tables *tables, bs_evt3_state *state)
{
    bs_evt3_reset(state);
    return tables->width >= 1 && tables->width <= 2048 && tables->height >= 1 && tables->height <= 2048 ? 0 : BS_BAD_TABLES;
}

void bs_evt3_reset(bs_evt3_state *state)
{
    bs_clear(state, sizeof *state);
}

uint32_t bs_evt3_clock(const bs_evt3_state *state)
{
    return (uint32_t)state->time;
}

/* Raises the time, or does not. */
static void settle(bs_evt3_state *state, uint32_t step, uint32_t verdict)
{
    if (verdict == BS_BELIEVE) {
        state->base += (int64_t)step << UNIT;
        state->time = state->time > state->base ? state->time : state->base;
    } else {
        state->refused++;
    }
}

/* Takes a TIME_HIGH word. */
static void raise_time(bs_evt3_state *state, uint32_t value)
{
    const uint32_t step = (value - (uint32_t)(state->base >> UNIT)) & MASK, verdict = bs_believe(step, MASK);
    if (!state->started) {
        state->started = 1;
        state->base = (int64_t)value << UNIT;
        state->time = state->base;
        state->x = NOWHERE;
        state->y = NOWHERE;
    } else if (verdict == BS_WAIT) {
        bs_doubt(&state->words, step);
    } else {
        settle(state, step, verdict);
    }
}

/* Takes a word of one of the types that are seldom. */
static void take_other(bs_evt3_state *state, uint32_t kind, uint32_t value)
{
    if (kind == BS_TIME_HIGH) {
        raise_time(state, value);
    } else if (!state->started) {
        state->early++;
    } else if (kind == 10) {
        state->triggers++;
    } else if (kind == 1 || kind == 7 || kind >= 14) {
        state->others++;
        state->y = kind == 1 ? NOWHERE : state->y;
    } else {
        state->unknown++;
    }
}

/* Passes over words up to the first TIME_HIGH; returns how many, that one included. */
static uint32_t begin(bs_evt3_state *state, const uint8_t *from, uint32_t words)
{
    uint32_t k = 0;
    while (k < words && !state->started) {
        const uint32_t word = bs_word(from + SIZE * k, SIZE);
        take_other(state, word >> 12, word & MASK);
        k++;
    }
    return k;
}

/* The bits of a vector that are within the sensor, `fits` pixels from its base; the others are counted. */
static uint32_t clipped(bs_evt3_state *state, uint32_t bits, uint32_t fits)
{
    for (uint32_t beyond = bits >> fits; beyond != 0; beyond &= beyond - 1u) {
        state->outside++;
    }
    return bits & ((1u << fits) - 1u);
}

/* Decodes words until they or the room end, or a time is doubted; returns how many. */
BS_APART uint32_t run(const bs_evt3_tables *tables, bs_evt3_state *state, const uint8_t *from, uint32_t words, bs_given *out)
{
    static const uint8_t LOWEST[16] = {0, 1, 2, 5, 3, 9, 6, 11, 15, 4, 8, 10, 14, 7, 13, 12}; /* place of the lowest bit set */
    const uint32_t width = tables->width, height = tables->height, room = out->room;
    int64_t *const t = out->t;
    uint16_t *const x = out->x, *const y = out->y;
    uint8_t *const p = out->p;
    if (!state->started) {
        return begin(state, from, words);
    }
    int64_t now = state->time;
    uint32_t column = state->x, line = state->y, polarity = state->p, n = out->count, k = 0, stop = words;
    while (k < stop && room - n >= BS_EVT3_MOST) {
        const uint32_t word = bs_word(from + SIZE * k, SIZE), kind = word >> 12, place = word & 0x7FFu;
        k++;
        if (kind == 2) {
            const uint32_t inside = place < width && line < height;
            t[n] = now;
            x[n] = (uint16_t)place;
            y[n] = (uint16_t)line;
            p[n] = (uint8_t)(word >> 11 & 1u);
            n += inside;
            state->outside += inside ^ 1u;
        } else if (kind == 0) {
            line = place;
        } else if (kind == 6) {
            const int64_t when = state->base + (int64_t)(word & MASK);
            state->held += when < now;
            now = when < now ? now : when;
        } else if (kind == 3) {
            column = place;
            polarity = word >> 11 & 1u;
        } else if ((kind & 14u) == 4) {
            const uint32_t size = kind == 4 ? 12u : 8u, fits = line < height && column < width ? width - column : 0u;
            uint32_t bits = word & ((1u << size) - 1u);
            if (fits < size) {
                bits = clipped(state, bits, fits);
            }
            for (; bits != 0; bits &= bits - 1u) {
                t[n] = now;
                x[n] = (uint16_t)(column + LOWEST[((bits & (0u - bits)) * 0x09AFu & 0xFFFFu) >> 12]);
                y[n] = (uint16_t)line;
                p[n] = (uint8_t)polarity;
                n++;
            }
            column = column + size < NOWHERE ? column + size : NOWHERE;
        } else {
            state->time = now;
            state->x = column;
            state->y = line;
            take_other(state, kind, word & MASK);
            now = state->time;
            column = state->x;
            line = state->y;
            stop = state->words.doubted != 0 ? k : words;
        }
    }
    state->time = now;
    state->x = column;
    state->y = line;
    state->p = polarity;
    out->count = n;
    return k;
}

int32_t bs_evt3_process(const bs_evt3_tables *tables, bs_evt3_state *state, const uint8_t *bytes,
                        int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t *taken,
                        uint32_t count, uint32_t room, uint32_t final)
{
    bs_given out = {out_t, out_x, out_y, out_p, 0, room};
    bs_words *const words = &state->words;
    uint32_t at = 0, ends = 0;
    *taken = 0;
    if (room < BS_EVT3_MOST) {
        return BS_NO_ROOM;
    }
    while (room - out.count >= BS_EVT3_MOST && !ends) {
        const uint8_t *from = bytes;
        uint32_t there, verdict = BS_WAIT;
        const uint32_t source = bs_next(words, state->waited, bytes, &at, count, SIZE, &from, &there), doubted = words->doubted;
        if (source == BS_NOWHERE) {
            verdict = doubted != 0 && final ? BS_BELIEVE : BS_WAIT;
            ends = verdict == BS_WAIT;
        } else if (doubted != 0) {
            there = bs_hold(words, state->waited, from, there, SIZE, (uint32_t)(state->base >> UNIT) & MASK, &verdict);
            bs_passed(words, source, there, SIZE, &at);
        } else {
            there = run(tables, state, from, there, &out);
            bs_passed(words, source, there, SIZE, &at);
        }
        if (verdict != BS_WAIT) {
            settle(state, doubted, verdict);
            words->doubted = 0;
        }
    }
    *taken = at;
    return (int32_t)out.count;
}
