/* Units: which clusters of neighbouring channels are of one cell, and what the tables say of each.
 * Of the library only learning.c and units.c include this; classifiers/units.py is the same text in Python. */
#ifndef BS_UNITS_H
#define BS_UNITS_H

#include "bitspike/sorter.h"

#define BS_UNIT_MOVE 4      /* frames by which the same unit's peak may differ from channel to channel */
#define BS_UNIT_SHIFTS (2 * BS_UNIT_MOVE + 1)
#define BS_NOISE_BITS 4     /* fractional bits of a cluster's noise */

typedef struct {        /* a cluster, and by number a unit: of so many spikes, which cluster shows it best, its number in the end */
    int64_t noise;      /* mean square of what the mean waveform leaves of a sample, Q4 */
    int32_t channel;
    int32_t row;
    int32_t size;
    int32_t low;
    int32_t high;
    int32_t unit;
    int32_t shown;
    int32_t total;
    int32_t number;
} bs_part;

/* Gives every cluster its unit, -1 for those of units beyond the most there may be; returns how many units there are. mean: of each
 * cluster, [neighbours][width]. */
int32_t bs_find_units(const bs_sorter_tables *tables, bs_part *clusters, const int16_t *mean, uint32_t n);

/* Fills the units' rows of the tables: templates, energies, scales, and which of them reach each channel. */
void bs_write_units(bs_sorter_tables *tables, const bs_part *clusters, const int16_t *mean, uint32_t n, uint32_t channels);

#endif
