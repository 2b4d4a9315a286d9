/* Band-pass filter; pipeline/neural/bandpass.py is the same text in Python. */
#include "bitspike/bandpass.h"
#include "bitspike/fixed.h"

#define COEFFICIENT_BITS 29

/* change + (c1 y[n-1] + c2 y[n-2]) / 2^29, rounded down. */
BS_INLINE int32_t section(int32_t c1, int32_t c2, int32_t change, int32_t y1, int32_t y2)
{
    const uint64_t total = (uint64_t)((int64_t)c1 * y1) + (uint64_t)((int64_t)c2 * y2); /* damaged tables may make it wrap */
    uint32_t sum = (uint32_t)change + ((uint32_t)total >> COEFFICIENT_BITS); /* the low bits here, the high ones below: */
    BS_OPAQUE_DSP(sum) /* an addition that shifts, where there is one, instead of two shifts and an addition */
    return (int32_t)(sum + ((uint32_t)(total >> 32) << (32 - COEFFICIENT_BITS)));
}

/* gain (x[n] - x[n-2]) / 2^scale, rounded down. */
BS_INLINE int32_t scaled(int32_t gain, uint32_t scale, int32_t x, int32_t x2)
{
    return bs_multiply(gain, bs_subtract(x, x2)) >> scale;
}

#if BS_DSP
/* Few registers: one section at a time filters a tile of frames in place, and each loop is a function, so that it has all of them. */
#define TILE 128u
#define AT_ONCE 4u

/* Filters a tile of frames behind the two that came before it, tile[0] and tile[1]; what lies behind its last frame is filtered for
 * nothing. The first section is given changes, the others what the one before gave. */
BS_INLINE void filter(const bs_bandpass_tables *tables, uint32_t s, uint32_t first, int32_t *tile, uint32_t frames,
                      int32_t y2, int32_t y1)
{
    const int32_t c1 = tables->c1[s], c2 = tables->c2[s];
    int32_t x2 = first ? 0 : tile[0], x1 = first ? 0 : tile[1];
    tile[0] = y2;
    tile[1] = y1;
    tile += 2;
    uint32_t n = (frames + AT_ONCE - 1u) / AT_ONCE;
    BS_UNROLL(1)
    do {
        BS_UNROLL(4)
        for (uint32_t k = 0; k < AT_ONCE; k++) {
            const int32_t x = tile[k], y = section(c1, c2, first ? x : bs_subtract(x, x2), y1, y2);
            x2 = x1;
            x1 = x;
            y2 = y1;
            y1 = y;
            tile[k] = y;
        }
        tile += AT_ONCE;
    } while (--n > 0);
}

BS_APART void filter_first(const bs_bandpass_tables *tables, int32_t *tile, uint32_t frames, int32_t y2, int32_t y1)
{
    filter(tables, 0, 1, tile, frames, y2, y1);
}

BS_APART void filter_other(const bs_bandpass_tables *tables, uint32_t s, int32_t *tile, uint32_t frames, int32_t y2, int32_t y1)
{
    filter(tables, s, 0, tile, frames, y2, y1);
}

/* Sets the tile to the changes of the input, and history to its last two frames: newest, then the one before. */
BS_APART void take(const bs_bandpass_tables *tables, int32_t *tile, int32_t *history, const int16_t *x, uint32_t frames,
                   uint32_t channels)
{
    const int32_t gain = tables->gain;
    const uint32_t scale = tables->scale;
    int32_t x1 = history[0], x2 = history[BS_MAX_CHANNELS];
    BS_UNROLL(1)
    for (uint32_t n = frames / 8u; n > 0; n--) {
        BS_UNROLL(8)
        for (uint32_t k = 0; k < 8u; k++) {
            const int32_t now = x[k * channels];
            tile[k] = scaled(gain, scale, now, x2);
            x2 = x1;
            x1 = now;
        }
        tile += 8;
        x += 8u * channels;
    }
    BS_UNROLL(1)
    for (uint32_t n = frames % 8u; n > 0; n--) {
        const int32_t now = *x;
        *tile++ = scaled(gain, scale, now, x2);
        x2 = x1;
        x1 = now;
        x += channels;
    }
    history[0] = x1;
    history[BS_MAX_CHANNELS] = x2;
}

BS_APART void give(const int32_t *tile, int16_t *y, uint32_t shift, uint32_t frames, uint32_t channels)
{
    const int32_t factor = bs_round_factor(shift);
    BS_UNROLL(1)
    for (uint32_t n = frames / 8u; n > 0; n--) {
        BS_UNROLL(8)
        for (uint32_t k = 0; k < 8u; k++) {
            y[k * channels] = bs_saturate16(bs_multiply_high(tile[k], factor));
        }
        tile += 8;
        y += 8u * channels;
    }
    BS_UNROLL(1)
    for (uint32_t n = frames % 8u; n > 0; n--) {
        *y = bs_saturate16(bs_multiply_high(*tile++, factor));
        y += channels;
    }
}

static void channel(const bs_bandpass_tables *tables, int32_t *history,
                    const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    int32_t tile[2 + TILE];
    while (frames > 0) {
        const uint32_t now = frames < TILE ? frames : TILE;
        take(tables, tile + 2, history, x, now, channels);
        BS_UNROLL(1)
        for (uint32_t s = 0; s < tables->sections; s++) {
            int32_t *const newest = history + 2 * (s + 1u) * BS_MAX_CHANNELS, *const before = newest + BS_MAX_CHANNELS;
            if (s == 0) {
                filter_first(tables, tile, now, *before, *newest);
            } else {
                filter_other(tables, s, tile, now, *before, *newest);
            }
            *newest = tile[now + 1u];
            *before = tile[now];
        }
        give(tile + 2, y, tables->shift, now, channels);
        x += now * channels;
        y += now * channels;
        frames -= now;
    }
}
#else
/* Registers for everything: a frame goes through all sections, of which the compiler knows the number. Each new value takes the place
 * of the older one of its pair of rows, so that nothing moves; the two rows of a pair change their parts with every frame. */
typedef int32_t history[2 * BS_BANDPASS_MAX_SECTIONS + 2];

BS_INLINE void frames_of(const bs_bandpass_tables *tables, history rows, uint32_t sections,
                         const int16_t **x, int16_t **y, uint32_t frames, uint32_t channels)
{
    BS_UNROLL(4)
    for (uint32_t n = 0; n < frames; n++) {
        const uint32_t newer = n & 1u, older = newer ^ 1u;
        int32_t value = **x, change = scaled(tables->gain, tables->scale, value, rows[older]);
        rows[older] = value;
        BS_UNROLL(4)
        for (uint32_t s = 1; s <= sections; s++) {
            const int32_t y1 = rows[2 * s + newer], y2 = rows[2 * s + older];
            value = section(tables->c1[s - 1], tables->c2[s - 1], change, y1, y2);
            rows[2 * s + older] = value;
            change = bs_subtract(value, y2);
        }
        **y = bs_saturate16(bs_round_shift(value, tables->shift));
        *x += channels;
        *y += channels;
    }
}

BS_INLINE void channel_through(const bs_bandpass_tables *tables, int32_t *state, uint32_t sections,
                               const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    history rows;
    BS_UNROLL(10)
    for (uint32_t r = 0; r < 2 * sections + 2; r++) {
        rows[r] = state[r * BS_MAX_CHANNELS];
    }
    for (const int16_t *const end = x + frames / 4 * 4 * channels; x != end;) {
        frames_of(tables, rows, sections, &x, &y, 4, channels);
    }
    if (frames & 2u) {
        frames_of(tables, rows, sections, &x, &y, 2, channels);
    }
    if (frames & 1u) {
        frames_of(tables, rows, sections, &x, &y, 1, channels);
    }
    BS_UNROLL(10)
    for (uint32_t r = 0; r < 2 * sections + 2; r++) {
        state[r * BS_MAX_CHANNELS] = frames & 1u ? rows[r ^ 1u] : rows[r];
    }
}

static void channel(const bs_bandpass_tables *tables, int32_t *state,
                    const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    switch (tables->sections) {
    case 1: channel_through(tables, state, 1, x, y, frames, channels); break;
    case 2: channel_through(tables, state, 2, x, y, frames, channels); break;
    case 3: channel_through(tables, state, 3, x, y, frames, channels); break;
    default: channel_through(tables, state, 4, x, y, frames, channels); break;
    }
}
#endif

int32_t bs_bandpass_init(const bs_bandpass_tables *tables, bs_bandpass_state *state)
{
    bs_bandpass_reset(state);
    return tables->sections >= 1 && tables->sections <= BS_BANDPASS_MAX_SECTIONS && tables->gain >= 0
        && tables->gain <= INT16_MAX && tables->scale <= 30 && tables->shift >= 2 && tables->shift <= 30 ? 0 : BS_BAD_TABLES;
}

void bs_bandpass_reset(bs_bandpass_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_bandpass_process(const bs_bandpass_tables *tables, bs_bandpass_state *state,
                            const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    if (frames == 0) {
        return 0;
    }
    if (!state->primed) { /* start as if the first value had always been there */
        state->primed = 1;
        for (uint32_t c = 0; c < channels; c++) {
            state->history[0][c] = state->history[1][c] = x[c];
        }
    }
    for (uint32_t c = 0; c < channels; c++) {
        channel(tables, &state->history[0][c], x + c, y + c, frames, channels);
    }
    return 0;
}
