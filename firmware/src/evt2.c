/* Decoder of EVT2; sensors/events/evt2.py is the same in Python, where what waits here is looked ahead for. */
#include "bitspike/evt2.h"
#include "bitspike/fixed.h"

#define SIZE 4u           /* bytes of a word */
#define UNIT 6u           /* bits of the time below those of TIME_HIGH */
#define MASK 0xFFFFFFFu   /* of the value of TIME_HIGH */

int32_t bs_evt2_init(const bs_evt2_tables *tables, bs_evt2_state *state)
{
    bs_evt2_reset(state);
    return tables->width >= 1 && tables->width <= 2048 && tables->height >= 1 && tables->height <= 2048 ? 0 : BS_BAD_TABLES;
}

void bs_evt2_reset(bs_evt2_state *state)
{
    bs_clear(state, sizeof *state);
}

uint32_t bs_evt2_clock(const bs_evt2_state *state)
{
    return (uint32_t)(state->time > state->base ? state->time : state->base);
}

/* Raises the time, or does not. */
static void settle(bs_evt2_state *state, uint32_t step, uint32_t verdict)
{
    if (verdict == BS_BELIEVE) {
        state->base += (int64_t)step << UNIT;
    } else {
        state->refused++;
    }
}

/* Takes a TIME_HIGH word. */
static void raise_time(bs_evt2_state *state, uint32_t value)
{
    const uint32_t step = (value - (uint32_t)(state->base >> UNIT)) & MASK, verdict = bs_believe(step, MASK);
    if (!state->started) {
        state->started = 1;
        state->base = (int64_t)value << UNIT;
        state->time = state->base;
    } else if (verdict == BS_WAIT) {
        bs_doubt(&state->words, step);
    } else {
        settle(state, step, verdict);
    }
}

/* Takes a word that is no event. */
static void take_other(bs_evt2_state *state, uint32_t kind, uint32_t value)
{
    if (kind == BS_TIME_HIGH) {
        raise_time(state, value);
    } else if (!state->started) {
        state->early++;
    } else if (kind == 10) {
        state->triggers++;
    } else if (kind >= 14) {
        state->others++;
    } else {
        state->unknown++;
    }
}

/* Passes over words up to the first TIME_HIGH; returns how many, that one included. */
static uint32_t begin(bs_evt2_state *state, const uint8_t *from, uint32_t words)
{
    uint32_t k = 0;
    while (k < words && !state->started) {
        const uint32_t word = bs_word(from + SIZE * k, SIZE);
        take_other(state, word >> 28, word & MASK);
        k++;
    }
    return k;
}

/* Decodes words until they or the room end, or a time is doubted; returns how many. */
BS_APART uint32_t run(const bs_evt2_tables *tables, bs_evt2_state *state, const uint8_t *from, uint32_t words, bs_given *out)
{
    const uint32_t width = tables->width, height = tables->height, room = out->room;
    int64_t *const t = out->t;
    uint16_t *const x = out->x, *const y = out->y;
    uint8_t *const p = out->p;
    if (!state->started) {
        return begin(state, from, words);
    }
    int64_t now = state->time, high = state->base;
    uint32_t n = out->count, k = 0, stop = words;
    while (k < stop && n < room) {
        const uint32_t word = bs_word(from + SIZE * k, SIZE), kind = word >> 28;
        k++;
        if (kind <= 1) {
            const int64_t when = high + (int64_t)(word >> 22 & 0x3Fu);
            const uint32_t column = word >> 11 & 0x7FFu, line = word & 0x7FFu, inside = column < width && line < height;
            state->held += when < now;
            now = when < now ? now : when;
            t[n] = now;
            x[n] = (uint16_t)column;
            y[n] = (uint16_t)line;
            p[n] = (uint8_t)kind;
            n += inside;
            state->outside += inside ^ 1u;
        } else {
            state->time = now;
            take_other(state, kind, word & MASK);
            now = state->time;
            high = state->base;
            stop = state->words.doubted != 0 ? k : words;
        }
    }
    state->time = now;
    out->count = n;
    return k;
}

int32_t bs_evt2_process(const bs_evt2_tables *tables, bs_evt2_state *state, const uint8_t *bytes,
                        int64_t *out_t, uint16_t *out_x, uint16_t *out_y, uint8_t *out_p, uint32_t *taken,
                        uint32_t count, uint32_t room, uint32_t final)
{
    bs_given out = {out_t, out_x, out_y, out_p, 0, room};
    bs_words *const words = &state->words;
    uint32_t at = 0, ends = 0;
    *taken = 0;
    if (room < BS_EVT2_MOST) {
        return BS_NO_ROOM;
    }
    while (room - out.count >= BS_EVT2_MOST && !ends) {
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
