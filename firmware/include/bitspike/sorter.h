/* Spike sorter: tells by features and templates which unit each spike is of, and takes overlapping spikes apart. */
#ifndef BS_SORTER_H
#define BS_SORTER_H

#include "bitspike/gaussian.h"

#define BS_SORTER_TICK 16       /* frames at a time */
#define BS_SORTER_PER_TICK 16   /* spikes that one tick may bring */

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

#endif
