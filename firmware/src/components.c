/* Principal components; pipeline/neural/components.py is the same text in Python. */
#include "bitspike/components.h"
#include "bitspike/fixed.h"

/* sum of (x[i] - mean[i]) axis[i] / 2^15, rounded to nearest, halves up. */
static int32_t project(const int16_t *x, uint32_t neighbours, const int16_t *mean, const int16_t *axis, uint32_t width)
{
    int64_t total = 1 << 14;
    for (uint32_t i = 0; i < width; i++) {
        total += (int64_t)(*x - mean[i]) * axis[i];
        x += neighbours;
    }
    return (int32_t)(total >> 15);
}

int32_t bs_components_init(const bs_components_tables *tables, bs_components_state *state)
{
    bs_components_reset(state);
    return tables->width >= 1 && tables->width <= BS_COMPONENTS_MAX_WIDTH && tables->neighbours >= 1
        && tables->neighbours <= BS_MAX_CHANNELS && tables->count >= 1 && tables->count <= BS_COMPONENTS_MAX_COMPONENTS
        ? 0 : BS_BAD_TABLES;
}

void bs_components_reset(bs_components_state *state)
{
    bs_clear(state, sizeof *state);
}

int32_t bs_components_process(const bs_components_tables *tables, bs_components_state *state,
                              const int16_t *waveform, int32_t *features, uint32_t spikes)
{
    const uint32_t width = tables->width, neighbours = tables->neighbours;
    for (uint32_t k = 0; k < spikes; k++) {
        for (uint32_t j = 0; j < neighbours; j++) {
            for (uint32_t p = 0; p < tables->count; p++) {
                *features++ = project(waveform + j, neighbours, tables->mean, tables->axes[p], width);
            }
        }
        waveform += width * neighbours;
    }
    state->seen += spikes;
    return (int32_t)spikes;
}
