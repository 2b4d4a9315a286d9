/* Snippets: the waveform of each spike, on its channel and those nearest to it, aligned to the peak between the samples. */
#ifndef BS_SNIPPETS_H
#define BS_SNIPPETS_H

#include "bitspike/config.h"

#define BS_SNIPPETS_HISTORY 256 /* frames held from before a block */
#define BS_SNIPPETS_MAX_WIDTH 128
#define BS_SNIPPETS_MAX_NEIGHBOURS 16
#define BS_SNIPPETS_TAPS 8
#define BS_SNIPPETS_PHASES 4    /* of a sample; the first is the sample itself */
#define BS_SNIPPETS_ROOM (2 * BS_MAX_CHANNELS + 32) /* spikes that can wait */

typedef struct {            /* what the parameters become */
    uint32_t before;        /* frames ahead of the peak */
    uint32_t width;         /* frames of a snippet */
    uint32_t neighbours;    /* channels of a snippet, that of the peak included */
    uint32_t upsample;      /* positions to which a sample is divided: 1, 2 or 4 */
    uint32_t tail;          /* frames after the peak that must have come */
    uint32_t wait;          /* frames for which a spike may wait */
    int16_t near[BS_MAX_CHANNELS][BS_SNIPPETS_MAX_NEIGHBOURS];  /* channels, nearest first, -1 where there is no further one */
    int16_t taps[BS_SNIPPETS_PHASES][BS_SNIPPETS_TAPS];         /* Q15: the interpolator */
} bs_snippets_tables;

typedef struct {                            /* what one block leaves for the next; all zero to start */
    uint32_t next_row;                      /* of the history */
    uint32_t pending;                       /* spikes on the list */
    uint32_t done;                          /* how many of them have been passed on */
    int32_t newest;                         /* frame of the newest spike */
    uint32_t overflow;                      /* spikes dropped because the list was full */
    uint32_t late;                          /* spikes dropped because they came too late */
    int32_t when[BS_SNIPPETS_ROOM];         /* the list: frame from the start of the block, channel, amplitude, unit */
    int32_t channel[BS_SNIPPETS_ROOM];
    int32_t amplitude[BS_SNIPPETS_ROOM];
    int32_t unit[BS_SNIPPETS_ROOM];
    int16_t history[BS_SNIPPETS_HISTORY][BS_MAX_CHANNELS];  /* the last frames, a ring */
} bs_snippets_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_snippets_init(const bs_snippets_tables *tables, bs_snippets_state *state);

/* Forgets everything. */
void bs_snippets_reset(bs_snippets_state *state);

/* Takes in `spikes` spikes that became known in a block x: int16 [frames][channels]: in_at, int32, frame in the block; in_channel;
 * in_amplitude; in_unit. Writes those whose snippet is complete to out_*, with waveform: int16 [most][width][neighbours]; room for
 * as many as are taken in and were pending. Returns how many, or BS_NO_CHANNEL or BS_NO_TIME. */
int32_t bs_snippets_process(const bs_snippets_tables *tables, bs_snippets_state *state, const int16_t *x,
                            const int32_t *in_at, const int32_t *in_channel, const int32_t *in_amplitude, const int32_t *in_unit,
                            int32_t *out_at, int32_t *out_channel, int32_t *out_amplitude, int32_t *out_unit, int16_t *waveform,
                            uint32_t frames, uint32_t channels, uint32_t spikes);

#endif
