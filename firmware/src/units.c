/* Units; classifiers/units.py is the same text in Python. */
#include "bitspike/fixed.h"
#include "bitspike/units.h"

#define SAME 32         /* clusters are one unit if their mean waveforms differ by less than this part of the energy, */
#define ALIKE 8         /* or those of two channels by less than this part, */
#define NEAR 100        /* and by less than so many times the noise of a sample, besides what spikes of others may move a mean by */
#define RATIO_BITS 20
#define DOT_BITS 31

/* How different two mean waveforms are at the best shift, the larger energy of the two, and the samples compared: all of common
 * channels. */
static int64_t compare(const bs_sorter_tables *tables, const int16_t *one, const int16_t *other, int32_t here, int32_t there,
                       int64_t *energy, int64_t *samples)
{
    const int32_t neighbours = tables->neighbours, width = tables->width;
    int64_t difference[BS_UNIT_SHIFTS] = {0}, along[BS_UNIT_SHIFTS] = {0}, dot[BS_UNIT_SHIFTS] = {0}, mine = 0, theirs = 0;
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
        *samples += width - 2 * BS_UNIT_MOVE;
        const int16_t *const a = one + k * width, *const b = other + j * width;
        for (int32_t m = BS_UNIT_MOVE; m < width - BS_UNIT_MOVE; m++) {
            mine += a[m] * a[m];
            theirs += b[m] * b[m];
            for (int32_t s = 0; s < BS_UNIT_SHIFTS; s++) {
                const int32_t at = m + s - BS_UNIT_MOVE;
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
    for (uint32_t s = 0; s < BS_UNIT_SHIFTS; s++) {
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
static int64_t likeness(const bs_sorter_tables *tables, const bs_part *here, const bs_part *there, const int16_t *one,
                        const int16_t *other)
{
    int64_t energy, samples;
    int64_t least = compare(tables, one, other, here->channel, there->channel, &energy, &samples);
    const int64_t noise = here->noise < there->noise ? here->noise : there->noise, n = here->size, m = there->size;
    least -= (samples * noise * (n + m) / (n * m)) >> BS_NOISE_BITS;
    least = least > 0 ? least : 0;
    const int64_t reach = (NEAR * noise + samples * (here->noise - noise)) >> BS_NOISE_BITS;
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
static int32_t same_unit(const bs_sorter_tables *tables, const bs_part *clusters, const int16_t *mean, uint32_t n, uint32_t chosen)
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
static int32_t number_units(bs_part *clusters, uint32_t n, int32_t found, int32_t most)
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
        bs_part *const unit = &clusters[clusters[i].unit];
        if (unit->shown == (int32_t)i && unit->number == 0) {
            unit->number = count++;
        }
    }
    return count;
}

int32_t bs_find_units(const bs_sorter_tables *tables, bs_part *clusters, const int16_t *mean, uint32_t n)
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

void bs_write_units(bs_sorter_tables *tables, const bs_part *clusters, const int16_t *mean, uint32_t n, uint32_t channels)
{
    const uint32_t neighbours = (uint32_t)tables->neighbours, width = (uint32_t)tables->width;
    for (uint32_t i = 0; i < n; i++) {
        const bs_part *const one = &clusters[i], *const unit = &clusters[one->unit];
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
