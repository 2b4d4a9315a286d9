/* Order statistics without sorting, by bisection, which needs no room; classifiers/ranking.py is the same text in Python. */
#ifndef BS_RANKING_H
#define BS_RANKING_H

#include "bitspike/config.h"

/* The value that would stand at place `rank` if `values` were sorted. */
int64_t bs_ranked(const int64_t *values, uint32_t n, uint32_t rank);

/* Which of `values` would stand at place `rank` if they were sorted and equals kept their order. */
uint32_t bs_place(const int64_t *values, uint32_t n, uint32_t rank);

#endif
