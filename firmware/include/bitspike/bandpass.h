/* Band-pass filter: Butterworth biquads in direct form I, 32-bit state with fractional bits, 64-bit products. */
#ifndef BS_BANDPASS_H
#define BS_BANDPASS_H

#include "bitspike/config.h"

#define BS_BANDPASS_MAX_SECTIONS 4

typedef struct {                            /* what the parameters become */
    uint32_t sections;                      /* 1 to BS_BANDPASS_MAX_SECTIONS */
    int32_t gain;                           /* of the whole filter, with 2^scale: what its input is multiplied by, 0 to 32767 */
    uint32_t scale;
    uint32_t shift;                         /* of the last section's value to the output, 2 or more */
    int32_t c1[BS_BANDPASS_MAX_SECTIONS];   /* Q29: -a1 */
    int32_t c2[BS_BANDPASS_MAX_SECTIONS];   /* Q29: -a2 */
} bs_bandpass_tables;

typedef struct {                            /* what one block leaves for the next; all zero to start */
    uint32_t primed;                        /* whether a frame has been seen */
    /* the frame before and the one before that: of the input, then of each section's output */
    int32_t history[2 * BS_BANDPASS_MAX_SECTIONS + 2][BS_MAX_CHANNELS];
} bs_bandpass_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_bandpass_init(const bs_bandpass_tables *tables, bs_bandpass_state *state);

/* Forgets everything. */
void bs_bandpass_reset(bs_bandpass_state *state);

/* Filters x: int16 [frames][channels] to y: int16 [frames][channels], rounded to nearest and saturated; y may be x. Returns 0. */
int32_t bs_bandpass_process(const bs_bandpass_tables *tables, bs_bandpass_state *state,
                            const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels);

#endif
