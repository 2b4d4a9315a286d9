/* A binary image of a chain's tables: checked before use, and never read outside.
 *
 * An image is what `bitspike tables` writes as <chain>.bin. All numbers are uint32, little-endian:
 *
 *     magic          BS_IMAGE_MAGIC, the letters BSTI
 *     schema         BS_TABLES_SCHEMA of the library that the tables are for
 *     version        BS_VERSION of that library
 *     bytes          of the whole image, a multiple of 8
 *     limits         how many follow
 *     entries        how many there are
 *     limit[limits]  BS_MAX_CHANNELS and on, in the order of config.h: what the structs are laid out for
 *     entry[entries] char stage[24], char label[40], offset, bytes: of one stage's tables; names end with a zero
 *     tables         the structs, each at a multiple of 8 from the beginning
 *     check          CRC-32 (that of zlib, PNG and Ethernet) of all before it; the last four bytes
 */
#ifndef BS_TABLES_H
#define BS_TABLES_H

#include "bitspike/version.h"

#define BS_IMAGE_MAGIC 0x49545342u
#define BS_IMAGE_STAGE_BYTES 24u
#define BS_IMAGE_LABEL_BYTES 40u

/* Why an image is refused. */
#define BS_IMAGE_UNALIGNED (-10) /* it does not begin at a multiple of 8 */
#define BS_IMAGE_TRUNCATED (-11) /* there is less of it than it says, or not even a header */
#define BS_IMAGE_NONE (-12)      /* it does not begin as an image does */
#define BS_IMAGE_SCHEMA (-13)    /* its tables have other fields than this library's */
#define BS_IMAGE_VERSION (-14)   /* it is for another version of the library */
#define BS_IMAGE_CAPACITY (-15)  /* it is laid out for other BS_MAX_... than this library */
#define BS_IMAGE_CRC (-16)       /* some of it has changed */
#define BS_IMAGE_DIRECTORY (-17) /* an entry lies outside it */
#define BS_IMAGE_MISSING (-18)   /* it has no tables of that stage and label */
#define BS_IMAGE_SIZE (-19)      /* its tables of that stage and label are not of that size */

/* Checks an image of which `size` bytes may be read; returns 0, or why it is refused. */
int32_t bs_tables_check(const void *image, uint32_t size);

/* Returns where in an image, which has been checked, the tables of a stage and label begin, or why there are none.
 * `bytes` is sizeof(bs_<stage>_tables). */
int32_t bs_tables_find(const void *image, uint32_t size, const char *stage, const char *label, uint32_t bytes);

#endif
