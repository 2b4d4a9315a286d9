/* Common reference: the mean or the median of each channel group is subtracted from its channels, frame by frame. */
#ifndef BS_REFERENCE_H
#define BS_REFERENCE_H

#include "bitspike/config.h"

typedef struct {                            /* what the parameters become */
    uint32_t mean;                          /* whether the mean is taken, else the median */
    uint32_t groups;
    uint32_t in_order;                      /* whether members[i] is i */
    uint16_t begin[BS_MAX_CHANNELS + 1];    /* group g has the members begin[g] to begin[g + 1] - 1 */
    uint16_t members[BS_MAX_CHANNELS];      /* channels, group by group */
    uint32_t reciprocal[BS_MAX_CHANNELS];   /* of group g: t * reciprocal >> shift is t / (2 N) */
    uint32_t shift[BS_MAX_CHANNELS];
} bs_reference_tables;

typedef struct {                            /* each frame stands for itself, but a struct has a field */
    uint32_t reserved;
} bs_reference_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_reference_init(const bs_reference_tables *tables, bs_reference_state *state);

/* Forgets everything, which is nothing. */
void bs_reference_reset(bs_reference_state *state);

/* Refers x: int16 [frames][channels] to y: int16 [frames][channels]; y may be x. Returns 0. */
int32_t bs_reference_process(const bs_reference_tables *tables, bs_reference_state *state,
                             const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels);

#endif
