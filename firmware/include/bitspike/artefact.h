/* Flags for frames not to be trusted: inputs at the rails, and steps on many channels at once. */
#ifndef BS_ARTEFACT_H
#define BS_ARTEFACT_H

#include "bitspike/config.h"

#define BS_SATURATED 1u /* bits of a frame's flags */
#define BS_ARTEFACT 2u

typedef struct {            /* what the parameters become */
    int16_t low;            /* the ends of the range: the rails */
    int16_t top;
    uint32_t rail_samples;  /* samples in a row at the rails that make a channel saturated, 1 to 255 */
    uint32_t rail_channels; /* channels that must be saturated */
    uint32_t step_channels; /* channels that must step at once */
    uint32_t hold;          /* frames for which a flag stays on, that of its cause included */
    uint32_t factor;        /* Q8: level as a multiple of the median of the steps */
    uint32_t fixed;         /* level in counts, used instead where it is not 0 */
    uint32_t noise_stride;  /* frames from look to look */
    uint32_t noise_learn;   /* log2 of the frames of the learning window */
    int32_t noise_gain;     /* Q16 */
} bs_artefact_tables;

typedef struct {                            /* what one block leaves for the next; all zero to start */
    uint32_t primed;                        /* whether a frame has been seen */
    uint32_t pending;                       /* not 0 where a channel is at the rails */
    uint32_t hold_rail;                     /* frames for which each flag stays on */
    uint32_t hold_step;
    int16_t last[BS_MAX_CHANNELS];          /* the last frame */
    uint8_t run[BS_MAX_CHANNELS];           /* samples in a row at the rails */
    uint16_t level[BS_MAX_CHANNELS];        /* of a step, in counts */
    uint32_t noise_windows;                 /* windows completed, 0 while learning */
    uint32_t noise_seen;                    /* looks of this window */
    uint32_t noise_wait;                    /* frames until the next look */
    uint32_t noise_count[BS_MAX_CHANNELS];  /* looks above the estimate; while learning, the sum of the steps */
    int32_t noise_excess[BS_MAX_CHANNELS];  /* the last window's count - 32 */
    int32_t noise_median[BS_MAX_CHANNELS];  /* Q12: the estimate */
} bs_artefact_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_artefact_init(const bs_artefact_tables *tables, bs_artefact_state *state);

/* Forgets everything; after lost frames: the signal, but not the noise. */
void bs_artefact_reset(bs_artefact_state *state);
void bs_artefact_gap(bs_artefact_state *state);

/* Looks at x: int16 [frames][channels] and the flags that come with it, given: uint8 [frames]; writes flags: uint8 [frames], which may
 * be given. Returns all flags together: 0 where no frame is flagged. */
int32_t bs_artefact_process(const bs_artefact_tables *tables, bs_artefact_state *state, const int16_t *x, const uint8_t *given,
                            uint8_t *flags, uint32_t frames, uint32_t channels);

#endif
