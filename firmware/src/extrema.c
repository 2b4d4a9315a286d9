/* Derivatives' extrema; pipeline/neural/extrema.py is the same text in Python. */
#include "bitspike/extrema.h"
#include "bitspike/fixed.h"

/* d1[i] = x[i+1] - x[i] and d2[i] = x[i+2] - 2 x[i+1] + x[i]; the peak is the first value of the largest size. */
static void channel(const int16_t *x, uint32_t width, uint32_t neighbours, int32_t *features)
{
    int32_t second = x[0], first = x[neighbours];
    int32_t peak = bs_size(first) > bs_size(second) ? first : second;
    int32_t low1 = first - second, high1 = low1, low2 = INT32_MAX, high2 = -INT32_MAX;
    x += 2 * neighbours;
    for (uint32_t i = 2; i < width; i++) {
        const int32_t now = *x, d1 = now - first, d2 = now - 2 * first + second;
        low1 = d1 < low1 ? d1 : low1;
        high1 = d1 > high1 ? d1 : high1;
        low2 = d2 < low2 ? d2 : low2;
        high2 = d2 > high2 ? d2 : high2;
        if (bs_size(now) > bs_size(peak)) {
            peak = now;
        }
        second = first;
        first = now;
        x += neighbours;
    }
    features[0] = peak;
    features[1] = low1;
    features[2] = high1;
    features[3] = low2;
    features[4] = high2;
}

int32_t bs_extrema_init(const bs_extrema_tables *tables, bs_extrema_state *state)
{
    bs_extrema_reset(state);
    return tables->width >= 3 && tables->width <= 128 && tables->neighbours >= 1
        && tables->neighbours <= BS_MAX_CHANNELS ? 0 : BS_BAD_TABLES;
}

void bs_extrema_reset(bs_extrema_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_extrema_process(const bs_extrema_tables *tables, bs_extrema_state *state,
                           const int16_t *waveform, int32_t *features, uint32_t spikes)
{
    const uint32_t width = tables->width, neighbours = tables->neighbours;
    for (uint32_t k = 0; k < spikes; k++) {
        for (uint32_t j = 0; j < neighbours; j++) {
            channel(waveform + j, width, neighbours, features);
            features += BS_EXTREMA_FEATURES;
        }
        waveform += width * neighbours;
    }
    state->seen += spikes;
    return (int32_t)spikes;
}
