/* Order statistics; classifiers/ranking.py is the same text in Python. */
#include "bitspike/ranking.h"

int64_t bs_ranked(const int64_t *values, uint32_t n, uint32_t rank)
{
    int64_t low = values[0], high = values[0];
    for (uint32_t i = 1; i < n; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    while (low < high) {
        const int64_t middle = low + ((high - low) >> 1);
        uint32_t below = 0;
        for (uint32_t i = 0; i < n; i++) {
            below += values[i] <= middle;
        }
        if (below > rank) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

uint32_t bs_place(const int64_t *values, uint32_t n, uint32_t rank)
{
    const int64_t value = bs_ranked(values, n, rank);
    uint32_t left = rank, chosen = 0;
    for (uint32_t i = 0; i < n; i++) {
        left -= values[i] < value;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (values[i] == value) {
            if (left == 0) {
                chosen = i;
            }
            left--; /* wraps after the chosen one; there are fewer than 2^32 more */
        }
    }
    return chosen;
}
