/* Spikes that wait until all that may overlap them is known, and whose turn it is.
 * Of the library only sorter.c and waiting.c include this; classifiers/waiting.py is the same text in Python. */
#ifndef BS_WAITING_H
#define BS_WAITING_H

#include "bitspike/sorter.h"

#define TICK BS_SORTER_TICK
#define FRAME_MASK 0x3FFFFFFFu

/* Lets a spike wait for its turn, or until it may; where there is no room, drops and counts it. */
void bs_wait(bs_sorter_state *state, int32_t at, int32_t channel, int32_t amplitude);
void bs_arrive(bs_sorter_state *state, int32_t at, int32_t channel, int32_t amplitude);

/* Says whether a spike is among the first BS_SORTER_PER_TICK of its tick, else counts it as dropped: so no list can be filled by one
 * block that another cut of the stream would not fill. */
int bs_expected(const bs_sorter_tables *tables, bs_sorter_state *state, int32_t frame);

/* Lets the spikes that arrived with earlier blocks wait their turn, up to frame `due`. */
void bs_admit(bs_sorter_state *state, int32_t due);

/* Says whether a spike has waited since frame `due`. */
int bs_ripe(const bs_sorter_state *state, int32_t due);

/* The largest spike that has waited long enough and that no larger, later one nearby holds back; -1 if none. Being held back ends
 * after two ticks. Whatever could overlap a spike is known by then (`delay` sees to that). */
int32_t bs_foremost(const bs_sorter_tables *tables, const bs_sorter_state *state, int32_t now);

/* Takes one of those that wait off the list. */
void bs_called(bs_sorter_state *state, int32_t chosen);

#endif
