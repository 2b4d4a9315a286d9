/* Any bytes for an image of tables: the loader refuses it, or what it finds lies inside. The check sum is set right in half of the
 * inputs, so that what comes after it is reached. */
#include <stdlib.h>
#include <string.h>

#include "bitspike/tables.h"

/* CRC-32, bit by bit. */
static uint32_t crc32(const uint8_t *at, size_t bytes)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t k = 0; k < bytes; k++) {
        crc ^= at[k];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (crc & 1u ? 0xEDB88320u : 0u);
        }
    }
    return ~crc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    const uint8_t how = data[0];
    const size_t bytes = size - 1;
    uint8_t *const image = malloc(bytes);
    if (image == NULL && bytes > 0) {
        abort();
    }
    if (bytes > 0) {
        memcpy(image, data + 1, bytes);
    }
    uint32_t said = 0;
    if (bytes >= 20) {
        memcpy(&said, image + 12, sizeof said);
    }
    if ((how & 1u) != 0 && said >= 20 && said <= bytes) {
        const uint32_t crc = crc32(image, said - 4u);
        memcpy(image + said - 4u, &crc, sizeof crc);
    }
    const int32_t bad = bs_tables_check(image, (uint32_t)bytes);
    const uint32_t wanted = (how >> 1) * 4u;
    const int32_t at = bs_tables_find(image, (uint32_t)bytes, "bandpass", "bandpass", wanted);
    if (bad == 0 && at >= 0 && ((uint32_t)at > bytes || wanted > bytes - (uint32_t)at)) {
        abort();
    }
    free(image);
    return 0;
}
