/* Time surfaces on a clock of 32 bits, whose ages stay exact; pipeline/events/surface.py has what is behind it. */
#ifndef BS_SURFACE_H
#define BS_SURFACE_H

#include "bitspike/config.h"

#define BS_TICK_BITS 19
#define BS_SURFACE_ROWS 2048u
#define BS_LONG (UINT32_C(1) << 30)  /* microseconds: what is older counts as this old */
#define BS_LONGEST_US 1000000u       /* the longest time that an age is compared with */

/* The tick of a time, and 1: 0 stands for none yet. */
BS_INLINE uint32_t bs_tick(int64_t t)
{
    return (uint32_t)((uint64_t)t >> BS_TICK_BITS) + 1u;
}

/* Keeps the ages in a surface of [rows][columns] exact now that the tick is another one. */
BS_APART void bs_refresh(uint32_t *tick, uint32_t *surface, uint32_t rows, uint32_t columns, uint32_t now_tick, uint32_t now)
{
    const uint32_t past = now_tick - *tick, old = now - BS_LONG;
    if (*tick == 0 || past >= BS_SURFACE_ROWS) {
        for (uint32_t k = 0; k < rows * columns; k++) {
            surface[k] = old;
        }
    } else {
        for (uint32_t k = 0; k < past; k++) {
            const uint32_t row = (*tick + k) & (BS_SURFACE_ROWS - 1u);
            if (row < rows) {
                uint32_t *const line = surface + row * columns;
                for (uint32_t c = 0; c < columns; c++) {
                    if (now - line[c] > BS_LONG) {
                        line[c] = old;
                    }
                }
            }
        }
    }
    *tick = now_tick;
}

#endif
