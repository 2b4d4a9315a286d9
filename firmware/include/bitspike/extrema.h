/* Features: the peak, and the extrema of the first and second discrete derivatives, of each channel of a waveform. */
#ifndef BS_EXTREMA_H
#define BS_EXTREMA_H

#include "bitspike/config.h"

#define BS_EXTREMA_FEATURES 5 /* of a channel: peak, min d1, max d1, min d2, max d2 */

typedef struct {            /* the shape of a waveform */
    uint32_t width;         /* frames, 3 to 128 */
    uint32_t neighbours;    /* channels */
} bs_extrema_tables;

typedef struct {            /* all zero to start */
    uint32_t seen;          /* spikes, modulo 2^32 */
} bs_extrema_state;

/* Checks the tables and sets the state to start from; returns 0 or BS_BAD_TABLES. */
int32_t bs_extrema_init(const bs_extrema_tables *tables, bs_extrema_state *state);

/* Forgets everything. */
void bs_extrema_reset(bs_extrema_state *state);

/* Fills features: int32 [spikes][neighbours][5] from waveform: int16 [spikes][width][neighbours]. Returns the number of spikes. */
int32_t bs_extrema_process(const bs_extrema_tables *tables, bs_extrema_state *state,
                           const int16_t *waveform, int32_t *features, uint32_t spikes);

#endif
