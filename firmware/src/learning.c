/* What the sorter learns; classifiers/learning.py is the same text in Python. */
#include "bitspike/clustering.h"
#include "bitspike/fixed.h"
#include "bitspike/learning.h"
#include "bitspike/principal.h"
#include "bitspike/ranking.h"
#include "bitspike/units.h"

#define LARGEST_LEVEL 32767
#define FEATURE_BITS 12
#define SCALE_BITS 12
#define MOST_SPIKES (1u << 14)
#define PITCH (BS_MAX_NEIGHBOURS * BS_MAX_FEATURE_FRAMES)

typedef struct {        /* the workspace */
    bs_principal_room principal;    /* shares its memory with what follows down to the gap */
    bs_clustering_room clustering;
    bs_clusters *found;
    int32_t *features;              /* [spikes][dimensions] */

    int32_t *which;                 /* [spikes]: those of the channel */
    int32_t *label;                 /* [spikes]: their clusters */
    bs_part *clusters;              /* [channels * most_clusters] */
    int16_t *mean;                  /* of each, [neighbours][width] */
} room;

typedef struct {        /* memory that is given out piece by piece; without any, its size is measured */
    uint8_t *base;
    uint32_t used;
} arena;

static void *take(arena *from, uint32_t count, uint32_t size)
{
    const uint32_t at = from->used;
    from->used += (count * size + 7u) & ~7u;
    return from->base == 0 ? 0 : from->base + at;
}

/* Lays out the workspace for so many spikes of a channel; returns its size. */
static uint32_t lay_out(const bs_sorter_tables *tables, uint32_t channels, uint32_t spikes, uint8_t *base, room *in)
{
    const uint32_t neighbours = (uint32_t)tables->neighbours, dimensions = (uint32_t)tables->dimensions;
    const uint32_t size = neighbours * (uint32_t)tables->feature_width, most = channels * (uint32_t)tables->most_clusters;
    arena all = {base, 0};
    in->which = take(&all, spikes, sizeof *in->which);
    in->label = take(&all, spikes, sizeof *in->label);
    in->clusters = take(&all, most, sizeof *in->clusters);
    in->mean = take(&all, most * neighbours * (uint32_t)tables->width, sizeof *in->mean);
    arena other = all;
    in->principal.vector = take(&other, size, sizeof *in->principal.vector);
    in->principal.scatter = take(&other, size * (size + 1) / 2, sizeof *in->principal.scatter);
    in->principal.axes = take(&other, size * dimensions, sizeof *in->principal.axes);
    in->principal.total = take(&other, size, sizeof *in->principal.total);
    in->principal.one = take(&other, size, sizeof *in->principal.one);
    in->clustering.values = take(&all, spikes, sizeof *in->clustering.values);
    in->clustering.part = take(&all, spikes * dimensions, sizeof *in->clustering.part);
    in->clustering.own = take(&all, spikes, sizeof *in->clustering.own);
    in->found = take(&all, 1, sizeof *in->found);
    in->features = take(&all, spikes * dimensions, sizeof *in->features);
    const uint32_t at_one = all.used > other.used ? all.used : other.used;
    return at_one;
}

/* Says whether the shape of the tables is one that a design can give. */
static int designed(const bs_sorter_tables *tables, uint32_t channels)
{
    const int32_t width = tables->width, first = tables->feature_from, length = tables->feature_width;
    const int32_t neighbours = tables->neighbours, dimensions = tables->dimensions;
    if (channels > BS_MAX_CHANNELS || neighbours < 1 || neighbours > BS_MAX_NEIGHBOURS || width < BS_UNIT_SHIFTS
        || width > BS_MAX_TEMPLATE_FRAMES || first < 0 || length < 1 || length > BS_MAX_FEATURE_FRAMES || first > width - length
        || dimensions < 1 || dimensions > BS_MAX_FEATURES || dimensions > neighbours * length
        || neighbours * length > BS_PRINCIPAL_MAX_LENGTH || tables->most_clusters < 1 || tables->most_clusters > BS_MAX_CLUSTERS
        || tables->most_units < 1 || tables->most_units > BS_MAX_UNITS
        || tables->most_candidates < 1 || tables->most_candidates > BS_MAX_CANDIDATES) {
        return 0;
    }
    for (uint32_t c = 0; c < channels; c++) {
        for (int32_t k = 0; k < neighbours; k++) {
            if (tables->neighbour[c][k] < -1 || tables->neighbour[c][k] >= (int32_t)channels) {
                return 0;
            }
        }
    }
    return 1;
}

/* The features of one spike: vector times axes, Q3. */
static void project(const int16_t *vector, const int16_t axes[][PITCH], int32_t *feature, uint32_t dimensions, uint32_t size)
{
    for (uint32_t p = 0; p < dimensions; p++) {
        int64_t total = 0;
        for (uint32_t m = 0; m < size; m++) {
            total += vector[m] * axes[p][m];
        }
        feature[p] = (int32_t)(total >> FEATURE_BITS);
    }
}

/* Learns features and clusters of one channel from n spikes, filling its rows of the tables and the spikes' labels. */
static void learn_channel(bs_sorter_tables *tables, uint32_t c, const bs_vectors *seen, const int32_t *amplitude, room *in)
{
    const uint32_t n = seen->count, dimensions = (uint32_t)tables->dimensions, size = seen->channels * seen->length;
    tables->level[c] = LARGEST_LEVEL;
    tables->clusters[c] = 0;
    for (uint32_t i = 0; i < n; i++) {
        in->clustering.values[i] = bs_size(amplitude[in->which[i]]);
    }
    if (n > 0) { /* the smallest spikes of a channel show its detector's threshold */
        const int64_t level = bs_ranked(in->clustering.values, n, n / 50);
        tables->level[c] = level < LARGEST_LEVEL ? (int32_t)level : LARGEST_LEVEL;
    }
    if (n < BS_CLUSTERING_LEAST) {
        return;
    }
    bs_principal_components(seen, dimensions, tables->component[c][0], PITCH, &in->principal);
    int16_t vector[PITCH];
    for (uint32_t i = 0; i < n; i++) {
        bs_vector(seen, i, vector, size);
        project(vector, (const int16_t (*)[PITCH])tables->component[c], in->features + i * dimensions, dimensions, size);
    }
    const uint32_t found = bs_cluster(in->features, in->label, n, dimensions, in->found, &in->clustering);
    const uint32_t count = found < (uint32_t)tables->most_clusters ? found : (uint32_t)tables->most_clusters;
    tables->clusters[c] = (int32_t)count;
    for (uint32_t k = 0; k < count; k++) {
        const int32_t row = in->found->order[k];
        for (uint32_t a = 0; a < dimensions; a++) {
            tables->centre[c][k][a] = in->found->centre[row][a];
        }
        for (uint32_t a = 0; a < dimensions * (dimensions + 1) / 2; a++) {
            tables->inverse[c][k][a] = in->found->inverse[row][a];
        }
        tables->offset[c][k] = in->found->offset[row];
    }
}

/* Fills mean waveform, int16 [size], rounded toward zero, the range of its scale: three standard deviations, from the median
 * deviation, around the median; and the noise. Of the values, `samples` are of channels that there are. */
static void describe(const int16_t *waveform, const room *in, uint32_t n, uint32_t size, uint32_t samples, bs_part *one,
                     int16_t *mean)
{
    const int32_t row = one->row;
    int64_t *const scale = in->clustering.values, energy = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) {
        count += in->label[i] == row;
    }
    for (uint32_t m = 0; m < size; m++) {
        int32_t total = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (in->label[i] == row) {
                total += waveform[(uint32_t)in->which[i] * size + m];
            }
        }
        mean[m] = (int16_t)(total / (int32_t)count);
        energy += mean[m] * mean[m];
    }
    uint32_t member = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (in->label[i] == row) {
            const int16_t *const values = waveform + (uint32_t)in->which[i] * size;
            int64_t dot = 0;
            for (uint32_t m = 0; m < size; m++) {
                dot += values[m] * mean[m];
            }
            scale[member++] = dot * (1 << SCALE_BITS) / (energy > 1 ? energy : 1);
        }
    }
    const int64_t middle = bs_ranked(scale, count, count / 2), whole = 1 << SCALE_BITS;
    for (uint32_t i = 0; i < count; i++) {
        scale[i] = scale[i] < middle ? middle - scale[i] : scale[i] - middle;
    }
    const int64_t spread = bs_ranked(scale, count, count / 2) * 9 / 2;
    int64_t high = middle + spread > whole ? middle + spread : whole, low = middle - spread;
    high = high < 9 * whole / 5 ? high : 9 * whole / 5;
    low = low > 2 * whole / 5 ? low : 2 * whole / 5;
    member = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (in->label[i] == row) {
            const int16_t *const values = waveform + (uint32_t)in->which[i] * size;
            scale[member] = 0;
            for (uint32_t m = 0; m < size; m++) {
                const int64_t away = values[m] - mean[m];
                scale[member] += away * away;
            }
            member++;
        }
    }
    const int64_t noise = bs_ranked(scale, count, count / 2) * (1 << BS_NOISE_BITS) / samples;
    one->noise = noise > 1 ? noise : 1;
    one->size = (int32_t)count;
    one->high = (int32_t)high;
    one->low = (int32_t)(low < high ? low : high);
}

/* The spikes of the channel that has the most. */
static uint32_t most_of_one(const int32_t *channel, uint32_t channels, uint32_t spikes)
{
    uint32_t most = 0;
    for (uint32_t c = 0; c < channels; c++) {
        uint32_t count = 0;
        for (uint32_t i = 0; i < spikes; i++) {
            count += channel[i] == (int32_t)c;
        }
        most = count > most ? count : most;
    }
    return most;
}

uint32_t bs_sorter_learn_bytes(const bs_sorter_tables *tables, uint32_t channels, uint32_t spikes)
{
    room in;
    return designed(tables, channels) ? lay_out(tables, channels, spikes, 0, &in) : 0;
}

int32_t bs_sorter_learn(bs_sorter_tables *tables, void *workspace, uint32_t bytes, const int32_t *channel, const int16_t *waveform,
                        const int32_t *amplitude, uint32_t channels, uint32_t spikes)
{
    if (!designed(tables, channels)) {
        return BS_BAD_TABLES;
    }
    const uint32_t most = most_of_one(channel, channels, spikes), size = (uint32_t)(tables->neighbours * tables->width);
    room in;
    if (most > MOST_SPIKES) {
        return BS_TOO_MANY_SPIKES;
    }
    if (((uintptr_t)workspace & 7u) != 0 || lay_out(tables, channels, most, workspace, &in) > bytes) {
        return BS_TOO_LITTLE_ROOM;
    }
    uint32_t clusters = 0;
    for (uint32_t c = 0; c < channels; c++) {
        bs_vectors seen = {
            waveform, in.which, 0, (uint32_t)tables->neighbours, (uint32_t)tables->width, (uint32_t)tables->feature_from,
            (uint32_t)tables->feature_width,
        };
        for (uint32_t i = 0; i < spikes; i++) {
            if (channel[i] == (int32_t)c) {
                in.which[seen.count++] = (int32_t)i;
            }
        }
        learn_channel(tables, c, &seen, amplitude, &in);
        uint32_t seen_on = 0;
        for (int32_t k = 0; k < tables->neighbours; k++) {
            seen_on += tables->neighbour[c][k] >= 0;
        }
        const uint32_t samples = (seen_on > 1 ? seen_on : 1) * (uint32_t)tables->width;
        for (int32_t row = 0; row < tables->clusters[c]; row++) {
            bs_part *const one = &in.clusters[clusters];
            int16_t *const mean = in.mean + clusters++ * size;
            one->channel = (int32_t)c;
            one->row = row;
            describe(waveform, &in, seen.count, size, samples, one, mean);
        }
    }
    tables->units = bs_find_units(tables, in.clusters, in.mean, clusters);
    bs_write_units(tables, in.clusters, in.mean, clusters, channels);
    tables->learned = 1;
    return tables->units;
}
