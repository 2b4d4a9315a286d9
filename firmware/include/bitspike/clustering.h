/* Clustering of spike features, in integers and without a given number of units; classifiers/clustering.py is the same text in
 * Python, and says where the method is from. */
#ifndef BS_CLUSTERING_H
#define BS_CLUSTERING_H

#include "bitspike/gaussian.h"

#define BS_CLUSTERING_MOST 24   /* clusters in all */
#define BS_CLUSTERING_LEAST 20  /* members of a cluster that can stand alone */

typedef struct {                /* the normal distributions */
    int32_t centre[BS_CLUSTERING_MOST][BS_MAX_FEATURES];
    int32_t inverse[BS_CLUSTERING_MOST][BS_TRIANGLE];
    int32_t offset[BS_CLUSTERING_MOST];
    int32_t order[BS_CLUSTERING_MOST];  /* the row of the largest cluster, of the next ... */
} bs_clusters;

typedef struct {                /* memory to work in, for n rows */
    int64_t *values;            /* [n] */
    int32_t *part;              /* [n][dimensions] */
    int32_t *own;               /* [n] */
} bs_clustering_room;

/* Finds the clusters of features: int32 [n][dimensions], |value| < 2^23, at most 2^14 rows. label: int32 [n], the largest cluster
 * first, BS_FREE for rows that belong to none. Returns how many there are. */
uint32_t bs_cluster(const int32_t *features, int32_t *label, uint32_t n, uint32_t dimensions, bs_clusters *found,
                    const bs_clustering_room *room);

#endif
