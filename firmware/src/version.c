#include "bitspike/version.h"

uint32_t bs_version(void)
{
    return BS_VERSION;
}

uint32_t bs_capacity(uint32_t *limits, uint32_t room)
{
    static const uint32_t all[] = {
        BS_MAX_CHANNELS, BS_MAX_NEIGHBOURS, BS_MAX_TEMPLATE_FRAMES, BS_MAX_FEATURE_FRAMES, BS_MAX_FEATURES,
        BS_MAX_CLUSTERS, BS_MAX_UNITS, BS_MAX_CANDIDATES, BS_MAX_HELD_FRAMES, BS_MAX_WAITING_SPIKES,
        BS_MAX_COLUMNS, BS_MAX_ROWS, BS_MAX_TRACKS, BS_MAX_TENSOR_BYTES,
    };
    const uint32_t count = sizeof all / sizeof all[0];
    for (uint32_t k = 0; k < count && k < room; k++) {
        limits[k] = all[k];
    }
    return count;
}
