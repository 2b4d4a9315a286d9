#include "bitspike/version.h"

uint32_t bs_version(void)
{
    return BS_VERSION;
}

uint32_t bs_max_channels(void)
{
    return BS_MAX_CHANNELS;
}
