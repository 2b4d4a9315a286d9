/* Local exclusion: of the candidates that one spike leaves on neighbouring channels and samples, keep the largest. */
#ifndef BS_EXCLUSION_H
#define BS_EXCLUSION_H

#include "bitspike/config.h"

#define BS_EXCLUSION_ROOM (4 * BS_MAX_CHANNELS + 64) /* candidates that can be pending */

typedef struct {            /* what the parameters become */
    uint32_t sweep;         /* frames within which candidates on neighbouring channels are rivals */
    uint32_t refractory;    /* frames within which candidates on one channel are */
    uint32_t rounds;        /* 1 to 4 */
    uint32_t rebound;       /* frames for which much smaller ones after a large one are its undershoot */
    uint32_t ratio;         /* how many times smaller */
    uint32_t near[BS_MAX_CHANNELS][(BS_MAX_CHANNELS + 31) / 32]; /* a bit for each pair of channels that are neighbours */
} bs_exclusion_tables;

typedef struct {                            /* what one block leaves for the next; all zero to start */
    uint32_t pending;                       /* candidates on the list */
    uint32_t decided;                       /* how many of them are decided; they are kept while others can feel them */
    uint32_t overflow;                      /* candidates dropped because the list was full */
    uint32_t late;                          /* candidates dropped because their time was over */
    int32_t when[BS_EXCLUSION_ROOM];        /* the list, ascending: frame from the start of the block, channel, amplitude */
    int32_t channel[BS_EXCLUSION_ROOM];
    int32_t amplitude[BS_EXCLUSION_ROOM];
    uint8_t mark[BS_EXCLUSION_ROOM];        /* 0: left; 2 r: dropped in round r; 2 r + 1: kept */
} bs_exclusion_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_exclusion_init(const bs_exclusion_tables *tables, bs_exclusion_state *state);

/* Forgets everything. */
void bs_exclusion_reset(bs_exclusion_state *state);

/* Takes in `spikes` candidates that became known in a block of `frames`: at, int32, frame in the block, from -BS_LAG on; channel;
 * amplitude. Writes those decided and kept to out_*, room for as many as are taken in and were pending. Returns how many, or
 * BS_NO_CHANNEL or BS_NO_TIME. */
int32_t bs_exclusion_process(const bs_exclusion_tables *tables, bs_exclusion_state *state,
                             const int32_t *at, const int32_t *channel, const int32_t *amplitude,
                             int32_t *out_at, int32_t *out_channel, int32_t *out_amplitude,
                             uint32_t spikes, uint32_t frames, uint32_t channels);

#endif
