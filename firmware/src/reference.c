/* Common reference; pipeline/neural/reference.py is the same text in Python, with sixteen frames in place of one. */
#include "bitspike/fixed.h"
#include "bitspike/pairs.h"
#include "bitspike/reference.h"

#if BS_DSP
/* How many of the values are below the trial. */
BS_INLINE uint32_t below(const int16_t *values, uint32_t count, int32_t trial)
{
    const bs_pair trials = bs_pair_of(trial, trial), one = bs_pair_of(1, 1);
    uint32_t less = (count & 1u) != 0 && values[count - 1] < trial, halves = 0;
    BS_UNROLL(4)
    for (uint32_t n = count / 2; n > 0; n--) {
        halves += bs_pair_select(bs_load_pair(values), trials, 0, one);
        values += 2;
    }
    return less + (halves & 0xFFFFu) + (halves >> 16);
}

/* The lowest and the highest value. */
BS_INLINE int32_t range_of(const int16_t *values, uint32_t count, int32_t *highest)
{
    bs_pair low = bs_pair_of(values[count - 1], values[count - 1]), top = low;
    for (uint32_t n = count / 2; n > 0; n--) {
        const bs_pair pair = bs_load_pair(values);
        low = bs_pair_select(pair, low, low, pair);
        top = bs_pair_select(pair, top, pair, top);
        values += 2;
    }
    *highest = bs_first(top) > bs_second(top) ? bs_first(top) : bs_second(top);
    return bs_first(low) < bs_second(low) ? bs_first(low) : bs_second(low);
}

/* Subtracts what is common. */
BS_APART void subtract(const int16_t *values, int16_t *y, uint32_t count, int32_t common)
{
    const bs_pair both = bs_pair_of(common, common);
    if ((count & 1u) != 0) {
        y[count - 1] = bs_saturate16(values[count - 1] - common);
    }
    BS_UNROLL(2)
    for (uint32_t n = count / 2; n > 0; n--) {
        bs_store_pair(y, bs_pair_subtract(bs_load_pair(values), both));
        values += 2;
        y += 2;
    }
}
#else
BS_INLINE uint32_t below(const int16_t *values, uint32_t count, int32_t trial)
{
    uint32_t less = 0;
    BS_UNROLL(4)
    for (; count > 0; count--) {
        less += *values++ < trial;
    }
    return less;
}

BS_INLINE int32_t range_of(const int16_t *values, uint32_t count, int32_t *highest)
{
    int32_t low = values[0], top = values[0];
    for (uint32_t i = 1; i < count; i++) {
        const int32_t value = values[i];
        low = value < low ? value : low;
        top = value > top ? value : top;
    }
    *highest = top;
    return low;
}

BS_APART void subtract(const int16_t *values, int16_t *y, uint32_t count, int32_t common)
{
    BS_UNROLL(2)
    for (; count > 0; count--) {
        *y++ = bs_saturate16(*values++ - common);
    }
}
#endif

/* The lower median: the largest value that at most (N - 1) / 2 others are below, found by halving the range of the values. */
BS_APART int32_t median(const int16_t *values, uint32_t count)
{
    const uint32_t half = (count - 1) / 2;
    int32_t top, low = range_of(values, count, &top);
    while (low < top) {
        const int32_t trial = low + (top - low + 1) / 2;
        if (below(values, count, trial) <= half) {
            low = trial;
        } else {
            top = trial - 1;
        }
    }
    return low;
}

/* (2 sum + N) / (2 N), rounded down, on a numerator made positive: division by multiplication, exact as design() proves. */
BS_APART int32_t mean(const int16_t *values, uint32_t count, uint32_t reciprocal, uint32_t shift)
{
    int32_t sum = 0;
    BS_UNROLL(4)
    for (uint32_t i = 0; i < count; i++) {
        sum += values[i];
    }
    const uint64_t positive = 2 * (uint64_t)((int64_t)sum + (int64_t)32768 * count) + count;
    return (int32_t)(positive * reciprocal >> shift) - 32768;
}

int32_t bs_reference_init(const bs_reference_tables *tables, bs_reference_state *state)
{
    bs_reference_reset(state);
    if (tables->groups < 1 || tables->groups > BS_MAX_CHANNELS || tables->begin[0] != 0) {
        return BS_BAD_TABLES;
    }
    for (uint32_t g = 0; g < tables->groups; g++) {
        if (tables->begin[g] >= tables->begin[g + 1] || tables->begin[g + 1] > BS_MAX_CHANNELS || tables->shift[g] > 63) {
            return BS_BAD_TABLES;
        }
    }
    for (uint32_t i = 0; i < tables->begin[tables->groups]; i++) {
        if (tables->members[i] >= tables->begin[tables->groups]) {
            return BS_BAD_TABLES;
        }
    }
    return 0;
}

void bs_reference_reset(bs_reference_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_reference_process(const bs_reference_tables *tables, bs_reference_state *state,
                             const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels)
{
    (void)state;
    int16_t gathered[BS_MAX_CHANNELS]; /* the values of one group, where they are not together */
    for (uint32_t n = 0; n < frames; n++) {
        for (uint32_t g = 0; g < tables->groups; g++) {
            const uint32_t first = tables->begin[g], count = tables->begin[g + 1] - first;
            const uint16_t *const members = tables->members + first;
            const int16_t *values = x + first;
            if (!tables->in_order) {
                for (uint32_t i = 0; i < count; i++) {
                    gathered[i] = x[members[i]];
                }
                values = gathered;
            }
            int32_t common = 0;
            if (count > 1) {
                common = tables->mean ? mean(values, count, tables->reciprocal[g], tables->shift[g]) : median(values, count);
            }
            if (tables->in_order) {
                subtract(values, y + first, count, common);
            } else {
                for (uint32_t i = 0; i < count; i++) {
                    y[members[i]] = bs_saturate16(values[i] - common);
                }
            }
        }
        x += channels;
        y += channels;
    }
    return 0;
}
