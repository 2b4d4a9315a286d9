/* What the sorter learns; classifiers/learning.py is the same text in Python. */
#include "bitspike/clustering.h"
#include "bitspike/fixed.h"
#include "bitspike/learning.h"
#include "bitspike/principal.h"

#define SAME 32         /* clusters are one unit if their mean waveforms differ by less than this part of the energy, */
#define ALIKE 8         /* or those of two channels by less than this part, */
#define NEAR 100        /* and by less than so many times the noise of a sample, besides what spikes of others may move a mean by */
#define NOISE_BITS 4    /* fractional bits of that noise */
#define MOVE 4          /* frames by which the same unit's peak may differ from channel to channel */
#define SHIFTS (2 * MOVE + 1)
#define RATIO_BITS 20
#define DOT_BITS 31
#define LARGEST_LEVEL 32767
#define FEATURE_BITS 12
#define SCALE_BITS 12
#define MOST_SPIKES (1u << 14)
#define PITCH (BS_MAX_NEIGHBOURS * BS_MAX_FEATURE_FRAMES)

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
} cluster;

typedef struct {        /* the workspace */
    bs_principal_room principal;    /* shares its memory with what follows down to the gap */
    bs_clustering_room clustering;
    bs_clusters *found;
    int32_t *features;              /* [spikes][dimensions] */

    int32_t *which;                 /* [spikes]: those of the channel */
    int32_t *label;                 /* [spikes]: their clusters */
    cluster *clusters;              /* [channels * most_clusters] */
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
    if (channels > BS_MAX_CHANNELS || neighbours < 1 || neighbours > BS_MAX_NEIGHBOURS || width < SHIFTS
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
static void describe(const int16_t *waveform, const room *in, uint32_t n, uint32_t size, uint32_t samples, cluster *one, int16_t *mean)
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
    const int64_t noise = bs_ranked(scale, count, count / 2) * (1 << NOISE_BITS) / samples;
    one->noise = noise > 1 ? noise : 1;
    one->size = (int32_t)count;
    one->high = (int32_t)high;
    one->low = (int32_t)(low < high ? low : high);
}

/* How different two mean waveforms are at the best shift, the larger energy of the two, and the samples compared: all of common
 * channels. */
static int64_t compare(const bs_sorter_tables *tables, const int16_t *one, const int16_t *other, int32_t here, int32_t there,
                       int64_t *energy, int64_t *samples)
{
    const int32_t neighbours = tables->neighbours, width = tables->width;
    int64_t difference[SHIFTS] = {0}, along[SHIFTS] = {0}, dot[SHIFTS] = {0}, mine = 0, theirs = 0;
    *samples = 0;
    for (int32_t k = 0; k < neighbours; k++) {
        const int16_t c = tables->neighbour[here][k];
        int32_t j = 0;
        while (j < neighbours && (c < 0 || tables->neighbour[there][j] != c)) {
            j++;
        }
        if (j == neighbours) {
            continue;
        }
        *samples += width - 2 * MOVE;
        const int16_t *const a = one + k * width, *const b = other + j * width;
        for (int32_t m = MOVE; m < width - MOVE; m++) {
            mine += a[m] * a[m];
            theirs += b[m] * b[m];
            for (int32_t s = 0; s < SHIFTS; s++) {
                const int32_t at = m + s - MOVE;
                const int64_t away = a[m] - b[at], slope = at > 0 && at < width - 1 ? b[at + 1] - b[at - 1] : 0;
                difference[s] += away * away;
                along[s] += slope * slope;
                dot[s] += away * slope;
            }
        }
    }
    *energy = mine > theirs ? mine : theirs;
    *energy = *energy > 1 ? *energy : 1;
    int64_t least = *energy;
    for (uint32_t s = 0; s < SHIFTS; s++) {
        int64_t product = dot[s] < 0 ? -dot[s] : dot[s];
        uint32_t bits = 0;
        while (product >= INT64_C(1) << DOT_BITS) {
            product >>= 1;
            bits += 2;
        }
        const int64_t length = along[s] >> bits, left = difference[s] - product * product / (length > 1 ? length : 1);
        least = left < least ? left : least;
    }
    return least > 0 ? least : 0;
}

/* How different two clusters are relative to the energy, Q20, -1 if too different to be one unit. What noise is left in two means
 * does not count; spikes of other cells among the members of the first move its mean by no more than they add to the noise. On one
 * channel, where the features have told clusters apart, only those are one unit that sampling between the same two frames has
 * parted. */
static int64_t likeness(const bs_sorter_tables *tables, const cluster *here, const cluster *there, const int16_t *one,
                        const int16_t *other)
{
    int64_t energy, samples;
    int64_t least = compare(tables, one, other, here->channel, there->channel, &energy, &samples);
    const int64_t noise = here->noise < there->noise ? here->noise : there->noise, n = here->size, m = there->size;
    least -= (samples * noise * (n + m) / (n * m)) >> NOISE_BITS;
    least = least > 0 ? least : 0;
    const int64_t reach = (NEAR * noise + samples * (here->noise - noise)) >> NOISE_BITS;
    const int alike = here->channel != there->channel && least * ALIKE < energy && least < reach;
    if (!alike && least * SAME >= energy) {
        return -1;
    }
    return least * (1 << RATIO_BITS) / energy;
}

static int sees(const bs_sorter_tables *tables, int32_t channel, int32_t other)
{
    for (int32_t k = 0; k < tables->neighbours; k++) {
        if (tables->neighbour[channel][k] == other) {
            return 1;
        }
    }
    return 0;
}

/* The unit of the cluster most like one, -1 if none is the same. */
static int32_t same_unit(const bs_sorter_tables *tables, const cluster *clusters, const int16_t *mean, uint32_t n, uint32_t chosen)
{
    const uint32_t size = (uint32_t)(tables->neighbours * tables->width);
    int32_t best = -1;
    int64_t closest = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (clusters[i].unit < 0 || !sees(tables, clusters[chosen].channel, clusters[i].channel)) {
            continue;
        }
        const int64_t ratio = likeness(tables, &clusters[chosen], &clusters[i], mean + chosen * size, mean + i * size);
        if (ratio >= 0 && (best < 0 || ratio < closest)) {
            best = clusters[i].unit;
            closest = ratio;
        }
    }
    return best;
}

/* Numbers the units of the most spikes by channel and row of the clusters that show them; returns how many they are. */
static int32_t number_units(cluster *clusters, uint32_t n, int32_t found, int32_t most)
{
    int32_t count = 0;
    for (int32_t u = 0; u < found; u++) {
        int32_t larger = 0;
        for (int32_t v = 0; v < found; v++) {
            larger += clusters[v].total > clusters[u].total || (clusters[v].total == clusters[u].total && v < u);
        }
        clusters[u].number = larger < most ? 0 : -1;
    }
    for (uint32_t i = 0; i < n; i++) {
        cluster *const unit = &clusters[clusters[i].unit];
        if (unit->shown == (int32_t)i && unit->number == 0) {
            unit->number = count++;
        }
    }
    return count;
}

/* Gives every cluster its unit, -1 for those of units beyond the most there may be; returns how many units there are. */
static int32_t find_units(const bs_sorter_tables *tables, cluster *clusters, const int16_t *mean, uint32_t n)
{
    int32_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        clusters[i].unit = -1;
    }
    for (uint32_t turn = 0; turn < n; turn++) {
        uint32_t chosen = n;
        for (uint32_t i = 0; i < n; i++) {
            if (clusters[i].unit < 0 && (chosen == n || clusters[i].size > clusters[chosen].size)) {
                chosen = i;
            }
        }
        int32_t best = same_unit(tables, clusters, mean, n, chosen);
        if (best < 0) {
            best = found++;
            clusters[best].shown = (int32_t)chosen;
            clusters[best].total = 0;
        }
        clusters[chosen].unit = best;
        clusters[best].total += clusters[chosen].size;
    }
    return number_units(clusters, n, found, tables->most_units);
}

static int64_t energy_of(const int16_t *values, uint32_t count)
{
    int64_t total = 0;
    for (uint32_t m = 0; m < count; m++) {
        total += values[m] * values[m];
    }
    return total > 1 ? total : 1;
}

/* Fills which units reach a channel, nearest first: those of its neighbours, in their order, then others. */
static void write_candidates(bs_sorter_tables *tables, int32_t channel)
{
    int32_t count = 0;
    for (int32_t k = 0; k <= tables->neighbours; k++) {
        const int32_t home = k < tables->neighbours ? tables->neighbour[channel][k] : -1;
        for (int32_t u = 0; u < tables->units && count < tables->most_candidates; u++) {
            const int32_t c = tables->unit_channel[u];
            const int here = k < tables->neighbours ? c == home : !sees(tables, channel, c);
            if (here && sees(tables, c, channel)) {
                tables->candidate[channel][count++] = u;
            }
        }
    }
    tables->candidates[channel] = count;
}

/* Fills the units' rows of the tables: templates, energies, scales, and which of them reach each channel. */
static void write_units(bs_sorter_tables *tables, const cluster *clusters, const int16_t *mean, uint32_t n, uint32_t channels)
{
    const uint32_t neighbours = (uint32_t)tables->neighbours, width = (uint32_t)tables->width;
    for (uint32_t i = 0; i < n; i++) {
        const cluster *const one = &clusters[i], *const unit = &clusters[one->unit];
        const int32_t u = unit->number;
        tables->cluster_unit[one->channel][one->row] = u;
        if (u < 0 || unit->shown != (int32_t)i) {
            continue;
        }
        const int16_t *const waveform = mean + i * neighbours * width;
        tables->unit_channel[u] = one->channel;
        for (uint32_t k = 0; k < neighbours; k++) {
            for (uint32_t m = 0; m < width; m++) {
                tables->template[u][k][m] = waveform[k * width + m];
            }
        }
        tables->energy[u] = energy_of(waveform, neighbours * width);
        tables->row_energy[u] = energy_of(waveform, width);
        tables->low[u] = one->low;
        tables->high[u] = one->high;
    }
    for (uint32_t c = 0; c < channels; c++) {
        write_candidates(tables, (int32_t)c);
    }
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
            cluster *const one = &in.clusters[clusters];
            int16_t *const mean = in.mean + clusters++ * size;
            one->channel = (int32_t)c;
            one->row = row;
            describe(waveform, &in, seen.count, size, samples, one, mean);
        }
    }
    tables->units = find_units(tables, in.clusters, in.mean, clusters);
    write_units(tables, in.clusters, in.mean, clusters, channels);
    tables->learned = 1;
    return tables->units;
}
