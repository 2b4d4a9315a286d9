/* The version of this library, and of the layout of its tables. */
#ifndef BS_VERSION_H
#define BS_VERSION_H

#include "bitspike/config.h"

#define BS_VERSION_MAJOR 0
#define BS_VERSION_MINOR 1
#define BS_VERSION_PATCH 0
#define BS_VERSION (BS_VERSION_MAJOR * 0x10000 + BS_VERSION_MINOR * 0x100 + BS_VERSION_PATCH)

/* Raised whenever a tables struct changes: tables of another schema are of no use to this library. */
#define BS_TABLES_SCHEMA 1

/* What the compiled library was compiled as. */
uint32_t bs_version(void);

/* Fill `limits`, at most `room` of them, with what the library was compiled for, BS_MAX_CHANNELS and on in the order of config.h;
 * return how many there are. */
uint32_t bs_capacity(uint32_t *limits, uint32_t room);

#endif
