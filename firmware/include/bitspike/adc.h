/* Converter: int16 input to signed codes of n bits, coupled to the input through a high-pass, as an ADC's front-end is. */
#ifndef BS_ADC_H
#define BS_ADC_H

#include "bitspike/config.h"

typedef struct {        /* what the parameters become */
    int32_t gain;       /* codes of a count, times 2^shift; up to 2^14 */
    uint32_t shift;     /* 1 to 29 */
    uint32_t coupling;  /* the slow level follows by 2^-coupling a frame; 1 to 14 */
    int32_t low;        /* the range of the codes */
    int32_t top;
} bs_adc_tables;

typedef struct {                        /* what one block leaves for the next; all zero to start */
    uint32_t primed;                    /* whether a frame has been seen */
    int32_t level[1][BS_MAX_CHANNELS];  /* Q14: the slow level of each channel */
} bs_adc_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_adc_init(const bs_adc_tables *tables, bs_adc_state *state);

/* Forgets everything; after lost frames nothing is forgotten. */
void bs_adc_reset(bs_adc_state *state);

/* Converts x: int16 [frames][channels] to y: int16 [frames][channels]; y may be x. Returns 0. */
int32_t bs_adc_process(const bs_adc_tables *tables, bs_adc_state *state,
                       const int16_t *x, int16_t *y, uint32_t frames, uint32_t channels);

#endif
