/* What the sorter learns from the first spikes of a recording; classifiers/learning.py is the same text in Python. */
#ifndef BS_LEARNING_H
#define BS_LEARNING_H

#include "bitspike/sorter.h"

#define BS_TOO_LITTLE_ROOM (-4)   /* the workspace is too small, or does not begin where an int64_t may */
#define BS_TOO_MANY_SPIKES (-5)   /* there are more than 2^14 of one channel */

/* How many bytes of workspace it takes to learn from at most so many spikes of each of so many channels; 0 for tables that no design
 * gives. */
uint32_t bs_sorter_learn_bytes(const bs_sorter_tables *tables, uint32_t channels, uint32_t spikes);

/* Learns from spikes, on channel[i], int32, with amplitude[i], int32, and waveform[i]: int16 [neighbours][width] frames of the channel
 * and its neighbours, as the tables have them, the peak `before` frames from the start. Fills in the tables, as designed, and returns
 * the number of units, or BS_BAD_TABLES, BS_TOO_LITTLE_ROOM or BS_TOO_MANY_SPIKES. */
int32_t bs_sorter_learn(bs_sorter_tables *tables, void *workspace, uint32_t bytes, const int32_t *channel, const int16_t *waveform,
                        const int32_t *amplitude, uint32_t channels, uint32_t spikes);

#endif
