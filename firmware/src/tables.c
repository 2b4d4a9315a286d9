/* Checks and finds tables in a binary image; firmware/tables.py reads and writes the same in Python. */
#include "bitspike/tables.h"

enum { MAGIC, SCHEMA, VERSION, BYTES, LIMITS, ENTRIES, WORDS }; /* the words of the header */

#define ALIGNMENT 8u
#define MOST_LIMITS 32u
#define MOST_ENTRIES 4096u
#define ENTRY_BYTES (BS_IMAGE_STAGE_BYTES + BS_IMAGE_LABEL_BYTES + 8u)

static uint32_t word(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* CRC-32 of `bytes`, four bits at a time. */
static uint32_t crc32(const uint8_t *at, uint32_t bytes)
{
    static const uint32_t step[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    uint32_t crc = 0xFFFFFFFFu;
    for (; bytes > 0; bytes--) {
        crc ^= *at++;
        crc = crc >> 4 ^ step[crc & 15u];
        crc = crc >> 4 ^ step[crc & 15u];
    }
    return ~crc;
}

/* Whether a field of `room` bytes holds `name` and nothing but zeros after it. */
static int holds(const uint8_t *field, const char *name, uint32_t room)
{
    for (uint32_t k = 0; k < room; k++) {
        if (field[k] != (uint8_t)*name) {
            return 0;
        }
        name += *name != 0;
    }
    return *name == 0;
}

/* Where the directory begins. */
static uint32_t directory(const uint8_t *image)
{
    return 4u * (WORDS + word(image + 4 * LIMITS));
}

/* Checks all of the header but the CRC: how much there is, and for what library it is. */
static int32_t check_header(const uint8_t *image, uint32_t size)
{
    uint32_t mine[MOST_LIMITS];
    if (((uintptr_t)image & (ALIGNMENT - 1u)) != 0) {
        return BS_IMAGE_UNALIGNED;
    }
    if (size < 4u * WORDS) {
        return BS_IMAGE_TRUNCATED;
    }
    if (word(image + 4 * MAGIC) != BS_IMAGE_MAGIC) {
        return BS_IMAGE_NONE;
    }
    if (word(image + 4 * SCHEMA) != BS_TABLES_SCHEMA) {
        return BS_IMAGE_SCHEMA;
    }
    if (word(image + 4 * VERSION) != BS_VERSION) {
        return BS_IMAGE_VERSION;
    }
    if (word(image + 4 * BYTES) > size) {
        return BS_IMAGE_TRUNCATED;
    }
    const uint32_t limits = bs_capacity(mine, MOST_LIMITS), bytes = word(image + 4 * BYTES);
    if (limits > MOST_LIMITS || word(image + 4 * LIMITS) != limits) {
        return BS_IMAGE_CAPACITY;
    }
    if (bytes < 4u * (WORDS + limits) + 4u || bytes > INT32_MAX || bytes % ALIGNMENT != 0) {
        return BS_IMAGE_DIRECTORY;
    }
    for (uint32_t k = 0; k < limits; k++) {
        if (word(image + 4u * (WORDS + k)) != mine[k]) {
            return BS_IMAGE_CAPACITY;
        }
    }
    return 0;
}

/* Checks that the directory, and everything that it names, lies between the header and the CRC. */
static int32_t check_directory(const uint8_t *image)
{
    const uint32_t end = word(image + 4 * BYTES) - 4u, entries = word(image + 4 * ENTRIES), begin = directory(image);
    if (entries > MOST_ENTRIES || entries * ENTRY_BYTES > end - begin) {
        return BS_IMAGE_DIRECTORY;
    }
    for (uint32_t k = 0; k < entries; k++) {
        const uint8_t *const entry = image + begin + k * ENTRY_BYTES;
        const uint8_t *const place = entry + BS_IMAGE_STAGE_BYTES + BS_IMAGE_LABEL_BYTES;
        const uint32_t offset = word(place), bytes = word(place + 4);
        if (offset % ALIGNMENT != 0 || offset < begin + entries * ENTRY_BYTES || offset > end || bytes > end - offset) {
            return BS_IMAGE_DIRECTORY;
        }
    }
    return 0;
}

int32_t bs_tables_check(const void *image, uint32_t size)
{
    const uint8_t *const at = image;
    const int32_t bad = check_header(at, size);
    if (bad != 0) {
        return bad;
    }
    const uint32_t end = word(at + 4 * BYTES) - 4u;
    return crc32(at, end) != word(at + end) ? BS_IMAGE_CRC : check_directory(at);
}

int32_t bs_tables_find(const void *image, uint32_t size, const char *stage, const char *label, uint32_t bytes)
{
    const uint8_t *const at = image;
    int32_t bad = check_header(at, size);
    if (bad == 0) {
        bad = check_directory(at);
    }
    if (bad != 0) {
        return bad;
    }
    const uint8_t *entry = at + directory(at);
    for (uint32_t left = word(at + 4 * ENTRIES); left > 0; left--, entry += ENTRY_BYTES) {
        const uint8_t *const place = entry + BS_IMAGE_STAGE_BYTES + BS_IMAGE_LABEL_BYTES;
        if (holds(entry, stage, BS_IMAGE_STAGE_BYTES) && holds(entry + BS_IMAGE_STAGE_BYTES, label, BS_IMAGE_LABEL_BYTES)) {
            return word(place + 4) == bytes ? (int32_t)word(place) : BS_IMAGE_SIZE;
        }
    }
    return BS_IMAGE_MISSING;
}
