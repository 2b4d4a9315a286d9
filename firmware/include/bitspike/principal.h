/* Principal axes of integer vectors, in integers: orthogonal iteration with a fixed number of rounds. pipeline/neural/principal.py
 * gives the same axes. */
#ifndef BS_PRINCIPAL_H
#define BS_PRINCIPAL_H

#include "bitspike/config.h"

#define BS_PRINCIPAL_MAX_LENGTH 1024
#define BS_PRINCIPAL_MAX_VECTORS (1 << 14)

typedef struct {                /* vectors that lie in waveforms: of each channel `length` frames from `first` on */
    const int16_t *waveform;    /* [][channels][width] */
    const int32_t *which;       /* [count]: the waveforms to take */
    uint32_t count;
    uint32_t channels;
    uint32_t width;
    uint32_t first;
    uint32_t length;
} bs_vectors;

typedef struct {                /* memory to work in; size = channels * length */
    int64_t *vector;            /* [size] */
    int32_t *scatter;           /* [size * (size + 1) / 2] */
    int32_t *axes;              /* [axes][size] */
    int32_t *total;             /* [size] */
    int16_t *one;               /* [size] */
} bs_principal_room;

/* Copies the first `size` values of a vector. */
void bs_vector(const bs_vectors *of, uint32_t i, int16_t *values, uint32_t size);

/* Fills `count` axes, Q15, each int16 [size] and `pitch` values after the one before, the direction of largest variance first. */
void bs_principal_components(const bs_vectors *of, uint32_t count, int16_t *axes, uint32_t pitch, const bs_principal_room *room);

#endif
