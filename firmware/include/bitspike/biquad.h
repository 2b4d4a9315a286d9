/* Second-order sections in CMSIS-DSP's arithmetic: the bits of arm_biquad_cascade_df1_q15. */
#ifndef BS_BIQUAD_H
#define BS_BIQUAD_H

#include "bitspike/config.h"

#define BS_BIQUAD_MAX_SECTIONS 8
#define BS_BIQUAD_TERMS 6

typedef struct {            /* what the parameters become */
    uint32_t sections;      /* 1 to BS_BIQUAD_MAX_SECTIONS */
    uint32_t post_shift;    /* 0 to 13 */
    int16_t coefficients[BS_BIQUAD_MAX_SECTIONS][BS_BIQUAD_TERMS];  /* Q15 / 2^post_shift: b0, 0, b1, b2, a1, a2; a1, a2 are added */
} bs_biquad_tables;

typedef struct {            /* what one block leaves for the next; all zero to start */
    /* the frame before and the one before that: of the input, then of each section's output */
    int16_t history[2 * BS_BIQUAD_MAX_SECTIONS + 2][BS_MAX_CHANNELS];
} bs_biquad_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_biquad_init(const bs_biquad_tables *tables, bs_biquad_state *state);

/* Forgets everything. */
void bs_biquad_reset(bs_biquad_state *state);

/* Filters x: int16 [frames][channels] to y: int16 [frames][channels], rounded down and saturated; y may be x. Returns 0. */
int32_t bs_biquad_process(const bs_biquad_tables *tables, bs_biquad_state *state,
                          const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels);

#endif
