/* Decimation to the field-potential band: a cascaded integrator-comb, then a short symmetric FIR that decimates on. */
#ifndef BS_DECIMATE_H
#define BS_DECIMATE_H

#include "bitspike/config.h"

#define BS_DECIMATE_MAX_ORDER 4
#define BS_DECIMATE_MAX_TAPS 63
#define BS_DECIMATE_RING 64

typedef struct {                                    /* what the parameters become */
    uint32_t order;                                 /* of the integrator-comb */
    uint32_t ratio;                                 /* its decimation */
    uint32_t keep;                                  /* the FIR's decimation; one output is made of ratio * keep frames */
    uint32_t shift;                                 /* takes back the integrator-comb's gain */
    uint32_t taps;
    uint32_t scale;                                 /* takes back the FIR's gain, 1 or more */
    int16_t coefficients[BS_DECIMATE_MAX_TAPS];
} bs_decimate_tables;

typedef struct {                                            /* what one block leaves for the next; all zero to start */
    uint32_t primed;                                        /* whether a frame has been seen */
    uint32_t newest;                                        /* row of the ring */
    uint32_t pending;                                       /* flags since the last output */
    uint32_t integrators[BS_DECIMATE_MAX_ORDER][BS_MAX_CHANNELS];
    uint32_t combs[BS_DECIMATE_MAX_ORDER][BS_MAX_CHANNELS];
    int16_t ring[BS_DECIMATE_RING][BS_MAX_CHANNELS];        /* what the integrator-comb made last */
} bs_decimate_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_decimate_init(const bs_decimate_tables *tables, bs_decimate_state *state);

/* Forgets everything. */
void bs_decimate_reset(bs_decimate_state *state);

/* Decimates x: int16 [frames][channels] with given: uint8 [frames], of which the first frame is number `phase` of its factor: outputs
 * are made at number 0. Writes y: int16 [outputs][channels] and flags: uint8 [outputs], what was given since the output before;
 * there are ceil((phase + frames) / factor) - ceil(phase / factor) outputs. Returns all flags together: 0 where none is flagged. */
int32_t bs_decimate_process(const bs_decimate_tables *tables, bs_decimate_state *state, const int16_t *x, const uint8_t *given,
                            int16_t *y, uint8_t *flags, uint32_t phase, uint32_t frames, uint32_t channels);

#endif
