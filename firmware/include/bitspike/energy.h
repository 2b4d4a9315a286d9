/* Spike detection by the non-linear energy operator psi[n] = x[n-k]^2 - x[n] x[n-2k]. */
#ifndef BS_ENERGY_H
#define BS_ENERGY_H

#include "bitspike/config.h"

#define BS_ENERGY_MAX_SPACING 8
#define BS_ENERGY_HELD (2 * BS_ENERGY_MAX_SPACING + 2)

typedef struct {            /* what the parameters become */
    uint32_t factor;        /* Q8: threshold as a multiple of the median of |psi| */
    uint32_t spacing;       /* k, frames */
    uint32_t negative;      /* which peaks are reported */
    uint32_t positive;
    uint32_t refractory;    /* frames, 1 or more, so that no sample is reported twice */
    uint32_t noise_stride;  /* frames from look to look */
    uint32_t noise_learn;   /* log2 of the frames of the learning window */
    int32_t noise_gain;     /* Q16 */
} bs_energy_tables;

typedef struct {                                        /* what one block leaves for the next; all zero to start */
    uint32_t held;                                      /* frames in `recent`, up to 2 k + 2 */
    uint32_t blocked;                                   /* frames for which nothing is to be reported */
    int16_t recent[BS_ENERGY_HELD][BS_MAX_CHANNELS];    /* the last 2 k + 2 frames */
    int32_t ready[BS_MAX_CHANNELS];                     /* frame at which the dead time ends */
    int32_t level[BS_MAX_CHANNELS];                     /* threshold of psi */
    uint32_t noise_windows;                             /* windows completed, 0 while learning */
    uint32_t noise_seen;                                /* looks of this window */
    uint32_t noise_wait;                                /* frames until the next look */
    uint64_t noise_count[BS_MAX_CHANNELS];              /* looks above the estimate; while learning, the sum of |psi| */
    int32_t noise_excess[BS_MAX_CHANNELS];              /* the last window's count - 32 */
    int32_t noise_median[BS_MAX_CHANNELS];              /* Q4: the estimate */
} bs_energy_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_energy_init(const bs_energy_tables *tables, bs_energy_state *state);

/* Forgets everything; after lost frames: the signal, but not the noise. */
void bs_energy_reset(bs_energy_state *state);
void bs_energy_gap(bs_energy_state *state);

/* Detects in x: int16 [frames][channels], flags: uint8 [frames], not 0 where a frame is not to be trusted. Returns how many peaks were
 * written, in the order in which they become known: at, frame in the block, from -2 k - 1 on; channel; amplitude; there must be room
 * for frames * channels. */
int32_t bs_energy_process(const bs_energy_tables *tables, bs_energy_state *state, const int16_t *x, const uint8_t *flags,
                          int32_t *at, int32_t *channel, int32_t *amplitude, uint32_t frames, uint32_t channels);

#endif
