/* Clustering of spike features; classifiers/clustering.py is the same text in Python. */
#include "bitspike/clustering.h"
#include "bitspike/fixed.h"
#include "bitspike/ranking.h"

#define SEEDS 12 /* clusters to start with */
#define MOST BS_CLUSTERING_MOST
#define LEAST BS_CLUSTERING_LEAST
#define ROUNDS 10 /* of k-means, and of the last step */
#define DEPTH 12
#define MOST_BINS 32

static int64_t squared(const int32_t *row, const int32_t *centre, uint32_t dimensions)
{
    int64_t total = 0;
    for (uint32_t a = 0; a < dimensions; a++) {
        const int64_t d = row[a] - centre[a];
        total += d * d;
    }
    return total;
}

/* Fills the mean of the rows of each label, 0 where there are none, and how many they are. */
static void means(const int32_t *features, const int32_t *label, uint32_t n, uint32_t count, uint32_t dimensions,
                  int64_t sums[][BS_MAX_FEATURES], int32_t *sizes)
{
    for (uint32_t k = 0; k < count; k++) {
        sizes[k] = 0;
        for (uint32_t a = 0; a < dimensions; a++) {
            sums[k][a] = 0;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        sizes[label[i]]++;
        for (uint32_t a = 0; a < dimensions; a++) {
            sums[label[i]][a] += features[i * dimensions + a];
        }
    }
    for (uint32_t k = 0; k < count; k++) {
        for (uint32_t a = 0; a < dimensions; a++) {
            sums[k][a] /= sizes[k] > 1 ? sizes[k] : 1;
        }
    }
}

/* Labels every row with the nearest of SEEDS centres, by k-means from far points. */
static void far_points(const int32_t *features, int32_t *label, uint32_t n, uint32_t dimensions, int64_t *nearest)
{
    int64_t sums[SEEDS][BS_MAX_FEATURES];
    int32_t centres[SEEDS][BS_MAX_FEATURES] = {{0}}, sizes[SEEDS];
    for (uint32_t i = 0; i < n; i++) {
        label[i] = 0;
    }
    means(features, label, n, 1, dimensions, sums, sizes);
    for (uint32_t a = 0; a < dimensions; a++) {
        centres[0][a] = (int32_t)sums[0][a];
    }
    for (uint32_t i = 0; i < n; i++) {
        nearest[i] = squared(features + i * dimensions, centres[0], dimensions);
    }
    for (uint32_t k = 0; k < SEEDS; k++) { /* the first centre, the mean, only serves to find a far point */
        const uint32_t far = bs_place(nearest, n, n - 1 - n / 50);
        for (uint32_t a = 0; a < dimensions; a++) {
            centres[k][a] = features[far * dimensions + a];
        }
        for (uint32_t i = 0; i < n; i++) {
            const int64_t d = squared(features + i * dimensions, centres[k], dimensions);
            if (k == 0 || d < nearest[i]) {
                nearest[i] = d;
            }
        }
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < n; i++) {
            int64_t best = -1;
            for (int32_t k = 0; k < SEEDS; k++) {
                const int64_t d = squared(features + i * dimensions, centres[k], dimensions);
                if (best < 0 || d < best) {
                    best = d;
                    label[i] = k;
                }
            }
        }
        means(features, label, n, SEEDS, dimensions, sums, sizes);
        for (uint32_t k = 0; k < SEEDS; k++) {
            for (uint32_t a = 0; a < dimensions && sizes[k] > 0; a++) {
                centres[k][a] = (int32_t)sums[k][a];
            }
        }
    }
}

/* Says whether the histogram of `values` has two hills, and puts the bottom of the valley into `cut`. */
static int valley(const int64_t *values, uint32_t n, int64_t *cut)
{
    const int64_t low = bs_ranked(values, n, n / 100), high = bs_ranked(values, n, n - 1 - n / 100), span = high - low;
    const uint32_t root = bs_isqrt64(n);
    const int32_t bins = root < 8 ? 8 : root > MOST_BINS ? MOST_BINS : (int32_t)root;
    int32_t histogram[MOST_BINS] = {0}, smooth[MOST_BINS];
    if (span < bins) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (low <= values[i] && values[i] <= high) {
            const int64_t bin = (values[i] - low) * bins / span;
            histogram[bin < bins - 1 ? bin : bins - 1]++;
        }
    }
    for (int32_t k = 0; k < bins; k++) {
        smooth[k] = 2 * histogram[k] + (k > 0 ? histogram[k - 1] : 0) + (k < bins - 1 ? histogram[k + 1] : 0);
    }
    int64_t deepest = 0;
    for (int32_t k = 1; k < bins - 1; k++) {
        int32_t left = 0, right = 0;
        for (int32_t j = 0; j < k; j++) {
            left = smooth[j] > left ? smooth[j] : left;
        }
        for (int32_t j = k + 1; j < bins; j++) {
            right = smooth[j] > right ? smooth[j] : right;
        }
        const int32_t hill = left < right ? left : right;
        const int64_t drop = hill - smooth[k], both = hill + smooth[k];
        if (drop > 0 && drop * drop > DEPTH * both) {
            const int64_t depth = drop * drop * 256 / both;
            if (depth > deepest) {
                deepest = depth;
                *cut = low + (2 * k + 1) * span / (2 * bins);
            }
        }
    }
    return deepest > 0;
}

/* Fills the rows of two clusters, projected on the line that separates them best; returns how many they are. */
static uint32_t projections(const int32_t *features, const int32_t *label, uint32_t n, int32_t first, int32_t second,
                            uint32_t dimensions, int64_t *values)
{
    int64_t centre[2][BS_MAX_FEATURES], covariance[BS_MAX_FEATURES][BS_MAX_FEATURES];
    int32_t inverse[BS_TRIANGLE], difference[BS_MAX_FEATURES], direction[BS_MAX_FEATURES] = {0};
    uint32_t total = 0;
    (void)bs_moments(features, label, n, first, second, centre, covariance, dimensions);
    (void)bs_whitening(covariance, inverse, dimensions);
    for (uint32_t a = 0; a < dimensions; a++) {
        difference[a] = (int32_t)(centre[1][a] - centre[0][a]);
    }
    for (uint32_t a = 0; a < dimensions; a++) {
        direction[a] = bs_white(inverse, a, difference);
    }
    for (uint32_t i = 0; i < n; i++) {
        if (label[i] == first || label[i] == second) {
            for (uint32_t a = 0; a < dimensions; a++) {
                difference[a] = (int32_t)(features[i * dimensions + a] - centre[0][a]);
            }
            int64_t projection = 0;
            for (uint32_t a = 0; a < dimensions; a++) {
                projection += (int64_t)direction[a] * bs_white(inverse, a, difference);
            }
            values[total++] = projection;
        }
    }
    return total;
}

/* Moves the cut between two clusters into the valley; returns whether a label changed. */
static int move_cut(int32_t *label, uint32_t n, int32_t first, int32_t second, const int64_t *values, int64_t cut)
{
    int changed = 0;
    uint32_t total = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (label[i] == first || label[i] == second) {
            const int32_t side = values[total++] < cut ? first : second;
            changed |= label[i] != side;
            label[i] = side;
        }
    }
    return changed;
}

/* Finds the nearest pair of clusters that was not tried; returns whether there is one. */
static int nearest_pair(int64_t centres[SEEDS][BS_MAX_FEATURES], const int32_t *sizes, uint8_t tried[SEEDS][SEEDS],
                        uint32_t dimensions, int32_t *first, int32_t *second)
{
    int64_t best = -1;
    for (int32_t i = 0; i < SEEDS; i++) {
        for (int32_t j = i + 1; j < SEEDS; j++) {
            if (sizes[i] > 0 && sizes[j] > 0 && tried[i][j] == 0) {
                int64_t d = 0;
                for (uint32_t a = 0; a < dimensions; a++) {
                    d += (centres[i][a] - centres[j][a]) * (centres[i][a] - centres[j][a]);
                }
                if (best < 0 || d < best) {
                    best = d;
                    *first = i;
                    *second = j;
                }
            }
        }
    }
    return best >= 0;
}

/* Joins clusters that no valley parts, nearest pairs first; labels of joined clusters become that of the lower number. */
static void join(const int32_t *features, int32_t *label, uint32_t n, uint32_t dimensions, int64_t *values)
{
    int64_t centres[SEEDS][BS_MAX_FEATURES], cut = 0;
    int32_t sizes[SEEDS], first = 0, second = 0;
    uint8_t tried[SEEDS][SEEDS];
    bs_clear(tried, sizeof tried);
    for (uint32_t turn = 0; turn < 20 * SEEDS; turn++) { /* a bound: cuts that move could make two pairs take turns */
        means(features, label, n, SEEDS, dimensions, centres, sizes);
        if (!nearest_pair(centres, sizes, tried, dimensions, &first, &second)) {
            break;
        }
        tried[first][second] = 1;
        int apart = 0, changed = 1;
        if (sizes[first] >= LEAST && sizes[second] >= LEAST) {
            apart = valley(values, projections(features, label, n, first, second, dimensions, values), &cut);
        }
        if (apart) {
            changed = move_cut(label, n, first, second, values, cut);
        } else {
            for (uint32_t i = 0; i < n; i++) {
                label[i] = label[i] == second ? first : label[i];
            }
        }
        for (int32_t k = 0; k < SEEDS && changed; k++) { /* what was found about their other pairs no longer holds */
            if (k != first && k != second) {
                tried[first < k ? first : k][first < k ? k : first] = 0;
                tried[second < k ? second : k][second < k ? k : second] = 0;
            }
        }
    }
}

/* Fits normal distributions to the labelled rows and reassigns them, ROUNDS times; returns the number of clusters. */
static uint32_t refine(const int32_t *features, int32_t *label, uint32_t n, uint32_t dimensions, bs_clusters *found)
{
    /* 99.9 % points of chi-square with 1 to 8 degrees of freedom, Q8: farther from its own cluster is 1 spike in 1000 */
    static const int32_t far[] = {0, 2772, 3537, 4164, 4728, 5252, 5748, 6226, 6688};
    int64_t pair[2][BS_MAX_FEATURES], covariance[BS_MAX_FEATURES][BS_MAX_FEATURES];
    uint32_t count = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        count = 0;
        for (int32_t k = 0; k < MOST; k++) {
            int32_t size = 0;
            for (uint32_t i = 0; i < n; i++) {
                size += label[i] == k;
            }
            if (size < LEAST) {
                continue;
            }
            (void)bs_moments(features, label, n, k, -1, pair, covariance, dimensions);
            const int32_t logarithm = bs_whitening(covariance, found->inverse[count], dimensions);
            found->offset[count] = BS_LN2_Q8 * (logarithm - 2 * (int32_t)bs_log2_q8((uint64_t)size)) >> 8;
            for (uint32_t a = 0; a < dimensions; a++) {
                found->centre[count][a] = (int32_t)pair[0][a];
            }
            count++; /* never beyond k, so no cluster that is still to come is overwritten */
        }
        for (uint32_t i = 0; i < n; i++) {
            label[i] = bs_nearest(features + i * dimensions, (const int32_t (*)[BS_MAX_FEATURES])found->centre,
                                  (const int32_t (*)[BS_TRIANGLE])found->inverse, found->offset, count, far[dimensions], dimensions);
        }
        if (count == 0) {
            break;
        }
    }
    return count;
}

/* Splits what can be split, and the parts again. */
static void split(const int32_t *features, int32_t *label, uint32_t n, uint32_t dimensions, const bs_clustering_room *room)
{
    int32_t queue[2 * MOST], number[SEEDS], used = 1;
    uint32_t first = 0, last = 1;
    queue[0] = 0;
    while (first < last) {
        const int32_t here = queue[first++];
        uint32_t size = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (label[i] == here) {
                for (uint32_t a = 0; a < dimensions; a++) {
                    room->part[size * dimensions + a] = features[i * dimensions + a];
                }
                size++;
            }
        }
        if (size < 2 * LEAST) {
            continue;
        }
        far_points(room->part, room->own, size, dimensions, room->values);
        join(room->part, room->own, size, dimensions, room->values);
        int32_t sizes[SEEDS] = {0}, found = 0;
        for (uint32_t i = 0; i < size; i++) {
            sizes[room->own[i]]++;
        }
        for (uint32_t k = 0; k < SEEDS; k++) {
            if (sizes[k] > 0) {
                number[k] = found == 0 ? here : used + found - 1;
                found++;
            }
        }
        if (found == 1 || used + found - 1 > MOST) {
            continue;
        }
        size = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (label[i] == here) {
                label[i] = number[room->own[size++]];
            }
        }
        for (uint32_t k = 0; k < SEEDS; k++) {
            if (sizes[k] > 0) {
                queue[last++] = number[k];
            }
        }
        used += found - 1;
    }
}

/* Renumbers the labels by falling number of members, equals in order; returns how many have any. */
static uint32_t largest_first(int32_t *label, int32_t *order, uint32_t n, uint32_t count)
{
    int32_t sizes[MOST] = {0}, place_of[MOST] = {0};
    uint32_t left = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (label[i] >= 0) {
            sizes[label[i]]++;
        }
    }
    for (;;) {
        int32_t best = -1;
        for (int32_t k = 0; k < (int32_t)count; k++) {
            if (sizes[k] > 0 && (best < 0 || sizes[k] > sizes[best])) {
                best = k;
            }
        }
        if (best < 0) {
            break;
        }
        order[left] = best;
        place_of[best] = (int32_t)left++;
        sizes[best] = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (label[i] >= 0) {
            label[i] = place_of[label[i]];
        }
    }
    return left;
}

uint32_t bs_cluster(const int32_t *features, int32_t *label, uint32_t n, uint32_t dimensions, bs_clusters *found,
                    const bs_clustering_room *room)
{
    for (uint32_t i = 0; i < n; i++) {
        label[i] = n < LEAST ? BS_FREE : 0;
    }
    if (n < LEAST) {
        return 0;
    }
    split(features, label, n, dimensions, room);
    return largest_first(label, found->order, n, refine(features, label, n, dimensions, found));
}
