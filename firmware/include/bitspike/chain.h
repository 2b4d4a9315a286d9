/* What a generated chain hands out; see `bitspike tables`. */
#ifndef BS_CHAIN_H
#define BS_CHAIN_H

#include "bitspike/config.h"

#define BS_TOO_LONG (-4) /* a block has more frames than the chain was generated for */

/* An output of a chain for one block. Its arrays are the chain's, until the next block; what it does not have is null. */
typedef struct {
    uint32_t count;          /* frames of samples, or spikes */
    uint32_t first;          /* number of the block's first frame in the output's own stream, modulo 2^32 */
    uint32_t channels;       /* of samples; of spikes 0 */
    const int16_t *data;     /* samples: [count][channels] */
    const uint8_t *flags;    /* samples: [count] */
    const int32_t *at;       /* spikes: frame in the block, below 0 for those of blocks before; at, channel, ... [count] */
    const int32_t *channel;
    const int32_t *amplitude;
    const int32_t *unit;
    const int16_t *waveform; /* spikes: [count][waveform_length], channels innermost */
    const int32_t *features; /* spikes: [count][features_length] */
    uint32_t waveform_length, features_length;
} bs_output;

/* The same of a chain of events. */
typedef struct {
    uint32_t count;         /* events, or particles */
    uint32_t stop;          /* time up to which they are known: the low 32 bits of microseconds */
    const int64_t *t;       /* events: [count] */
    const uint16_t *x, *y;
    const uint8_t *p;
    const int32_t *records; /* particles: [count][records_length]; tracker.h names the columns */
    const uint8_t *tensors; /* particles: [count][tensors_length] */
    uint32_t records_length, tensors_length;
} bs_event_output;

#endif
