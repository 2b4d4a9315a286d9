/* Spike sorter: tells by features and templates which unit each spike is of, and takes overlapping spikes apart. */
#ifndef BS_SORTER_H
#define BS_SORTER_H

#include "bitspike/gaussian.h"

#define BS_SORTER_TICK 16       /* frames at a time */
#define BS_SORTER_PER_TICK 16   /* spikes that one tick may bring */
#define BS_SORTER_OLDEST 512    /* frames by which a spike may be older than the block that brings it */
#define BS_SORTER_LATEST 4      /* spikes of a unit that are remembered, as they are not taken in the order of time */
_Static_assert(BS_MAX_WAITING_SPIKES >= BS_SORTER_PER_TICK, "BS_MAX_WAITING_SPIKES: 16 at least");

typedef struct {                /* what the parameters become, and what was learned */
    int32_t learned;            /* whether anything was */
    int32_t neighbours;         /* channels of one spike, at most */
    int32_t width;              /* frames of a template */
    int32_t before;             /* of them ahead of the peak */
    int32_t feature_from;       /* the frames of a template that features are made of */
    int32_t feature_width;
    int32_t dimensions;         /* features */
    int32_t limit;              /* farthest squared distance of a cluster's member, Q8 */
    int32_t adapt;              /* a centre moves by the difference over 2^adapt */
    int32_t arrival;            /* frames by which a spike may become known after its peak */
    int32_t reach;              /* frames over which spikes may overlap */
    int32_t delay;              /* frames from a spike's peak to its decision, at least */
    int32_t dead;               /* frames around a unit's spike that have no other of it */
    int32_t ticks;              /* that are remembered */
    int32_t most_clusters;      /* of a channel */
    int32_t most_units;
    int32_t most_candidates;    /* of a channel */
    int32_t units;
    int16_t neighbour[BS_MAX_CHANNELS][BS_MAX_NEIGHBOURS]; /* channels of a spike, its own first, -1 where there is no further one */
    int16_t component[BS_MAX_CHANNELS][BS_MAX_FEATURES][BS_MAX_NEIGHBOURS * BS_MAX_FEATURE_FRAMES]; /* Q15 */
    int32_t clusters[BS_MAX_CHANNELS];
    int32_t cluster_unit[BS_MAX_CHANNELS][BS_MAX_CLUSTERS];             /* -1: none */
    int32_t centre[BS_MAX_CHANNELS][BS_MAX_CLUSTERS][BS_MAX_FEATURES];  /* Q3 */
    int32_t inverse[BS_MAX_CHANNELS][BS_MAX_CLUSTERS][BS_TRIANGLE];     /* Q28 */
    int32_t offset[BS_MAX_CHANNELS][BS_MAX_CLUSTERS];                   /* Q8 */
    int32_t unit_channel[BS_MAX_UNITS];
    int16_t template[BS_MAX_UNITS][BS_MAX_NEIGHBOURS][BS_MAX_TEMPLATE_FRAMES];
    int64_t energy[BS_MAX_UNITS];
    int64_t row_energy[BS_MAX_UNITS];   /* of the unit's own channel */
    int32_t low[BS_MAX_UNITS];          /* range of a template's scale, Q12 */
    int32_t high[BS_MAX_UNITS];
    int32_t candidates[BS_MAX_CHANNELS];
    int32_t candidate[BS_MAX_CHANNELS][BS_MAX_CANDIDATES];  /* units that reach a channel, nearest first */
    int32_t level[BS_MAX_CHANNELS];     /* the smallest spike */
} bs_sorter_tables;

typedef struct {                /* what one block leaves for the next; all zero to start */
    int32_t frame;              /* frames since the stream began, modulo 2^30 */
    int16_t ring[BS_MAX_HELD_FRAMES][BS_MAX_CHANNELS]; /* the last of them; sorted spikes are taken out of them */
    int32_t tick_of[BS_MAX_WAITING_SPIKES / BS_SORTER_PER_TICK];        /* the latest ticks, and how many spikes each has brought */
    int32_t tick_spikes[BS_MAX_WAITING_SPIKES / BS_SORTER_PER_TICK];
    int32_t arriving;           /* spikes that came before their turn to wait */
    int32_t arrive_at[BS_MAX_WAITING_SPIKES];       /* frame from the start of the block, channel, amplitude */
    int32_t arrive_channel[BS_MAX_WAITING_SPIKES];
    int32_t arrive_amplitude[BS_MAX_WAITING_SPIKES];
    int32_t waiting;            /* spikes that wait until all that may overlap them has come */
    int32_t wait_at[BS_MAX_WAITING_SPIKES];
    int32_t wait_channel[BS_MAX_WAITING_SPIKES];
    int32_t wait_amplitude[BS_MAX_WAITING_SPIKES];
    int32_t latest_of[BS_MAX_UNITS][BS_SORTER_LATEST]; /* frames of a unit's latest spikes and 1, the last that was taken first; 0: none */
    int32_t drift[BS_MAX_CHANNELS][BS_MAX_CLUSTERS][BS_MAX_FEATURES];   /* of the centres, Q11; survives a gap */
    int32_t dropped;            /* spikes dropped because a tick brought too many */
} bs_sorter_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_sorter_init(const bs_sorter_tables *tables, bs_sorter_state *state);

/* Forgets everything. */
void bs_sorter_reset(bs_sorter_state *state);

/* Forgets the signal, after lost frames, but not the drift. */
void bs_sorter_gap(bs_sorter_state *state);

/* Takes in a block x: int16 [frames][channels], and the `spikes` spikes that became known in it: spike_at, int32, frame in the block
 * or up to BS_SORTER_OLDEST before; spike_channel; spike_amplitude. Writes those decided to out_*, at most `room`; out_unit is -1 for
 * what no unit explains. Returns how many, or BS_NO_CHANNEL or BS_NO_TIME. */
int32_t bs_sorter_process(const bs_sorter_tables *tables, bs_sorter_state *state, const int16_t *x,
                          const int32_t *spike_at, const int32_t *spike_channel, const int32_t *spike_amplitude,
                          int32_t *out_at, int32_t *out_channel, int32_t *out_amplitude, int32_t *out_unit,
                          uint32_t frames, uint32_t channels, uint32_t spikes, uint32_t room);

#endif
