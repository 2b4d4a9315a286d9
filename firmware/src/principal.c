/* Principal axes; pipeline/neural/principal.py gives the same axes. */
#include "bitspike/fixed.h"
#include "bitspike/principal.h"

#define ROUNDS 40
#define AXIS_BITS 20
#define SCATTER_BITS 22

void bs_vector(const bs_vectors *of, uint32_t i, int16_t *values, uint32_t size)
{
    const int16_t *row = of->waveform + (uint32_t)of->which[i] * of->channels * of->width + of->first;
    for (uint32_t done = 0; done < size; row += of->width) {
        for (uint32_t m = 0; m < of->length && done < size; m++) {
            values[done++] = row[m];
        }
    }
}

/* Fills the scatter matrix, entries on and below the diagonal by rows, shifted until the largest, which is on the diagonal, has
 * SCATTER_BITS. */
static void scatter(const bs_vectors *of, uint32_t size, const bs_principal_room *room)
{
    int64_t *const sums = room->vector, largest = 1;
    int32_t *const total = room->total, *at = room->scatter;
    int16_t *const one = room->one;
    for (uint32_t a = 0; a < size; a++) {
        sums[a] = total[a] = 0;
    }
    for (uint32_t i = 0; i < of->count; i++) {
        bs_vector(of, i, one, size);
        for (uint32_t a = 0; a < size; a++) {
            total[a] += one[a];
            sums[a] += one[a] * one[a];
        }
    }
    for (uint32_t a = 0; a < size; a++) {
        const int64_t entry = sums[a] - bs_divide_down((int64_t)total[a] * total[a], of->count);
        largest = entry > largest ? entry : largest;
    }
    uint32_t shift = 0;
    while (largest >> shift >= 1 << SCATTER_BITS) {
        shift++;
    }
    for (uint32_t a = 0; a < size; a++) {
        for (uint32_t b = 0; b <= a; b++) {
            sums[b] = 0;
        }
        for (uint32_t i = 0; i < of->count; i++) {
            bs_vector(of, i, one, a + 1);
            const int32_t value = one[a];
            for (uint32_t b = 0; b <= a; b++) {
                sums[b] += value * one[b];
            }
        }
        for (uint32_t b = 0; b <= a; b++) {
            *at++ = (int32_t)((sums[b] - bs_divide_down((int64_t)total[a] * total[b], of->count)) >> shift);
        }
    }
}

/* Fills vector with the scatter matrix times an axis. */
static void multiply(const int32_t *scatter, const int32_t *axis, int64_t *vector, uint32_t size)
{
    for (uint32_t a = 0; a < size; a++) {
        int64_t total = 0;
        for (uint32_t b = 0; b < a; b++) {
            total += (int64_t)*scatter * axis[b];
            vector[b] += (int64_t)*scatter++ * axis[a];
        }
        vector[a] = total + (int64_t)*scatter++ * axis[a];
    }
}

/* Multiplies a vector by a power of two so that its largest entry has 26 bits, rounding down; returns 0 if all are zero. */
static int scale(int64_t *vector, uint32_t size)
{
    int64_t largest = 0;
    uint32_t down = 0, up = 0;
    for (uint32_t m = 0; m < size; m++) {
        const int64_t value = vector[m] < 0 ? -vector[m] : vector[m];
        largest = value > largest ? value : largest;
    }
    if (largest == 0) {
        return 0;
    }
    while (largest >> down >= 1 << 26) {
        down++;
    }
    while (largest << up < 1 << 25) {
        up++;
    }
    for (uint32_t m = 0; m < size; m++) {
        vector[m] = (int64_t)((uint64_t)(vector[m] >> down) << up);
    }
    return 1;
}

/* Makes a vector orthogonal to the axes before `axis`, and writes it there as a unit vector in Q20; zero for no vector. */
static void orthonormalise(int64_t *vector, const int32_t *axes, int32_t *axis, uint32_t size)
{
    for (uint32_t pass = 0; pass < 2; pass++) { /* the second removes what rounding left */
        if (!scale(vector, size)) {
            break;
        }
        for (const int32_t *other = axes; other != axis; other += size) {
            int64_t dot = 0;
            for (uint32_t m = 0; m < size; m++) {
                dot += vector[m] * other[m];
            }
            dot >>= AXIS_BITS;
            for (uint32_t m = 0; m < size; m++) {
                vector[m] -= (dot * other[m]) >> AXIS_BITS;
            }
        }
    }
    uint64_t square = 0;
    for (uint32_t m = 0; m < size; m++) {
        square += (uint64_t)(vector[m] * vector[m]);
    }
    const uint32_t root = bs_isqrt64(square);
    const int64_t norm = root > 1 ? root : 1;
    for (uint32_t m = 0; m < size; m++) {
        axis[m] = (int32_t)bs_divide_down(vector[m] * (1 << AXIS_BITS) + (norm >> 1), norm);
    }
}

/* Fills vectors to start from, all different: the high bits of a linear congruential sequence. */
static void start(int32_t *axes, uint32_t values)
{
    uint32_t value = 1;
    for (uint32_t m = 0; m < values; m++) {
        value = value * 1664525u + 1013904223u;
        axes[m] = (int32_t)(value >> 12) - (1 << 19);
    }
}

void bs_principal_components(const bs_vectors *of, uint32_t count, int16_t *axes, uint32_t pitch, const bs_principal_room *room)
{
    const uint32_t size = of->channels * of->length;
    scatter(of, size, room);
    start(room->axes, count * size);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t p = 0; p < count; p++) {
            multiply(room->scatter, room->axes + p * size, room->vector, size);
            orthonormalise(room->vector, room->axes, room->axes + p * size, size);
        }
    }
    for (uint32_t p = 0; p < count; p++) {
        int16_t *const axis = axes + p * pitch;
        int32_t largest = 0;
        for (uint32_t m = 0; m < size; m++) {
            const int32_t value = (room->axes[p * size + m] + (1 << (AXIS_BITS - 16))) >> (AXIS_BITS - 15);
            axis[m] = (int16_t)(value < -32767 ? -32767 : value > 32767 ? 32767 : value);
            largest = bs_size(axis[m]) > bs_size(largest) ? axis[m] : largest;
        }
        for (uint32_t m = 0; m < size && largest < 0; m++) { /* the largest component is positive */
            axis[m] = (int16_t)-axis[m];
        }
    }
}
