/* Normal distributions in integers; classifiers/gaussian.py is the same text in Python.
 *
 * Features are below 2^23 in size, so that sums of 2^14 squares stay within int64. A class is described by its centre, by W = L^-1
 * in Q28, where L L^T is its covariance, and by log|covariance| - 2 log(size), Q8. */
#ifndef BS_GAUSSIAN_H
#define BS_GAUSSIAN_H

#include "bitspike/config.h"

_Static_assert(BS_MAX_FEATURES >= 1 && BS_MAX_FEATURES <= 8, "BS_MAX_FEATURES: 1 to 8");

#define BS_TRIANGLE (BS_MAX_FEATURES * (BS_MAX_FEATURES + 1) / 2)
#define BS_INVERSE_BITS 28
#define BS_WHITE_BITS 4             /* fractional bits of whitened features */
#define BS_LARGEST_WHITE (1 << 20)  /* whitened features are held at 65536 standard deviations */
#define BS_LN2_Q8 177
#define BS_FREE (-1)                /* the label of what belongs to no class */

/* log2 of a positive value in Q8, rounded down. */
int64_t bs_log2_q8(uint64_t value);

/* Fills mean and covariance of the members of class `which` (and `other`, if >= 0, each about its own mean); returns their number.
 * features: int32 [n][dimensions]; label: int32 [n]; centre: of `which` and `other`; covariance: entries on and below the diagonal,
 * to which a 64th of the mean variance, and one, is added. */
int32_t bs_moments(const int32_t *features, const int32_t *label, uint32_t n, int32_t which, int32_t other,
                   int64_t centre[2][BS_MAX_FEATURES], int64_t covariance[BS_MAX_FEATURES][BS_MAX_FEATURES], uint32_t dimensions);

/* Fills W = L^-1 of a covariance, Q28 by rows; returns log2|covariance| in Q8. */
int32_t bs_whitening(int64_t covariance[BS_MAX_FEATURES][BS_MAX_FEATURES], int32_t *inverse, uint32_t dimensions);

/* Component `row` of W times a difference of features, Q4, held at 65536 standard deviations. */
int32_t bs_white(const int32_t *inverse, uint32_t row, const int32_t *difference);

/* The squared Mahalanobis distance of a difference in Q8. */
int64_t bs_distance(const int32_t *inverse, const int32_t *difference, uint32_t dimensions);

/* The most probable of `count` classes for one row, BS_FREE if its distance is over the limit or there is none. */
int32_t bs_nearest(const int32_t *feature, const int32_t centre[][BS_MAX_FEATURES], const int32_t inverse[][BS_TRIANGLE],
                   const int32_t *offset, uint32_t count, int32_t limit, uint32_t dimensions);

#endif
