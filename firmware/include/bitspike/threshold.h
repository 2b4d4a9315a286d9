/* Spike detection by amplitude: local extrema beyond a multiple of a running robust noise estimate. */
#ifndef BS_THRESHOLD_H
#define BS_THRESHOLD_H

#include "bitspike/config.h"

typedef struct {            /* what the parameters become */
    uint32_t factor;        /* Q8: threshold as a multiple of the median of |x| */
    uint32_t fixed;         /* threshold in counts, used instead where it is not 0 */
    uint32_t negative;      /* which peaks are reported */
    uint32_t positive;
    uint32_t refractory;    /* frames; 0 reports every extremum */
    uint32_t noise_stride;  /* frames from look to look */
    uint32_t noise_learn;   /* log2 of the frames of the learning window */
    int32_t noise_gain;     /* Q16 */
} bs_threshold_tables;

typedef struct {                                /* what one block leaves for the next; all zero to start */
    uint32_t held;                              /* frames in `recent`, up to 2 */
    uint32_t muted;                             /* whether the last of them cannot be a peak */
    int16_t recent[2][BS_MAX_CHANNELS];         /* the last two frames */
    int32_t ready[BS_MAX_CHANNELS];             /* frame at which the dead time ends */
    int16_t level[BS_MAX_CHANNELS];             /* threshold in counts */
    uint32_t noise_windows;                     /* windows completed, 0 while learning */
    uint32_t noise_seen;                        /* looks of this window */
    uint32_t noise_wait;                        /* frames until the next look */
    uint32_t noise_count[BS_MAX_CHANNELS];      /* looks above the estimate; while learning, the sum of |x| */
    int32_t noise_excess[BS_MAX_CHANNELS];      /* the last window's count - 32 */
    int32_t noise_median[BS_MAX_CHANNELS];      /* Q12: the estimate */
} bs_threshold_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_threshold_init(const bs_threshold_tables *tables, bs_threshold_state *state);

/* Forgets everything; after lost frames: the signal, but not the noise. */
void bs_threshold_reset(bs_threshold_state *state);
void bs_threshold_gap(bs_threshold_state *state);

/* Detects in x: int16 [frames][channels], flags: uint8 [frames], not 0 where a frame is not to be trusted. Returns how many peaks were
 * written, by frame and then by channel: at, frame in the block, -1 for the last of the block before; channel; amplitude; there must
 * be room for frames * channels. */
int32_t bs_threshold_process(const bs_threshold_tables *tables, bs_threshold_state *state, const int16_t *x, const uint8_t *flags,
                             int32_t *at, int32_t *channel, int32_t *amplitude, uint32_t frames, uint32_t channels);

#endif
