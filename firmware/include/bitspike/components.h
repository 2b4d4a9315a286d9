/* Features: projections of each channel of a waveform on principal components. */
#ifndef BS_COMPONENTS_H
#define BS_COMPONENTS_H

#include "bitspike/config.h"

#define BS_COMPONENTS_MAX_WIDTH 128
#define BS_COMPONENTS_MAX_COMPONENTS 8

typedef struct {                            /* the shape of a waveform, and what was learned */
    uint32_t width;                         /* frames */
    uint32_t neighbours;                    /* channels */
    uint32_t count;                         /* components */
    int16_t mean[BS_COMPONENTS_MAX_WIDTH];
    int16_t axes[BS_COMPONENTS_MAX_COMPONENTS][BS_COMPONENTS_MAX_WIDTH]; /* Q15, of unit length */
} bs_components_tables;

typedef struct {                            /* all zero to start */
    uint32_t seen;                          /* spikes, modulo 2^32 */
} bs_components_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_components_init(const bs_components_tables *tables, bs_components_state *state);

/* Forgets everything. */
void bs_components_reset(bs_components_state *state);

/* Fills features: int32 [spikes][neighbours][count] from waveform: int16 [spikes][width][neighbours]. Returns the number of spikes. */
int32_t bs_components_process(const bs_components_tables *tables, bs_components_state *state,
                              const int16_t *waveform, int32_t *features, uint32_t spikes);

#endif
