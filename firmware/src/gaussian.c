/* Normal distributions in integers; classifiers/gaussian.py is the same text in Python. */
#include "bitspike/fixed.h"
#include "bitspike/gaussian.h"

int64_t bs_log2_q8(uint64_t value)
{
    int64_t whole = 0;
    uint64_t rest = value;
    while (rest >= UINT64_C(1) << 31) {
        rest >>= 1;
        whole++;
    }
    while (rest < UINT64_C(1) << 30) {
        rest <<= 1;
        whole--;
    }
    int64_t result = (whole + 30) * 256;
    for (int32_t bit = 7; bit >= 0; bit--) {
        rest = rest * rest >> 30;
        if (rest >= UINT64_C(1) << 31) {
            rest >>= 1;
            result += INT64_C(1) << bit;
        }
    }
    return result;
}

int32_t bs_moments(const int32_t *features, const int32_t *label, uint32_t n, int32_t which, int32_t other,
                   int64_t centre[2][BS_MAX_FEATURES], int64_t covariance[BS_MAX_FEATURES][BS_MAX_FEATURES], uint32_t dimensions)
{
    int32_t counts[2] = {0, 0};
    for (uint32_t a = 0; a < dimensions; a++) {
        centre[0][a] = centre[1][a] = 0;
        for (uint32_t b = 0; b <= a; b++) {
            covariance[a][b] = 0;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (label[i] == which || (other >= 0 && label[i] == other)) {
            const uint32_t row = label[i] == which ? 0 : 1;
            counts[row]++;
            for (uint32_t a = 0; a < dimensions; a++) {
                centre[row][a] += features[i * dimensions + a];
            }
        }
    }
    for (uint32_t row = 0; row < 2; row++) {
        for (uint32_t a = 0; a < dimensions; a++) {
            centre[row][a] /= counts[row] > 1 ? counts[row] : 1;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (label[i] == which || (other >= 0 && label[i] == other)) {
            const uint32_t row = label[i] == which ? 0 : 1;
            for (uint32_t a = 0; a < dimensions; a++) {
                const int64_t da = features[i * dimensions + a] - centre[row][a];
                for (uint32_t b = 0; b <= a; b++) {
                    covariance[a][b] += da * (features[i * dimensions + b] - centre[row][b]);
                }
            }
        }
    }
    const int32_t total = counts[0] + counts[1] > 1 ? counts[0] + counts[1] : 1;
    int64_t trace = 0;
    for (uint32_t a = 0; a < dimensions; a++) {
        for (uint32_t b = 0; b <= a; b++) {
            covariance[a][b] /= total;
        }
        trace += covariance[a][a];
    }
    for (uint32_t a = 0; a < dimensions; a++) {
        covariance[a][a] += (trace / (int32_t)dimensions >> 6) + 1;
    }
    return total;
}

int32_t bs_whitening(int64_t covariance[BS_MAX_FEATURES][BS_MAX_FEATURES], int32_t *inverse, uint32_t dimensions)
{
    int64_t lower[BS_MAX_FEATURES][BS_MAX_FEATURES] = {{0}}, columns[BS_MAX_FEATURES][BS_MAX_FEATURES];
    int64_t logarithm = 0;
    for (uint32_t i = 0; i < dimensions; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            int64_t rest = covariance[i][j] * 65536;
            for (uint32_t k = 0; k < j; k++) {
                rest -= lower[i][k] * lower[j][k];
            }
            if (i == j) { /* a pivot that rounding made zero or negative is taken as one */
                lower[i][i] = bs_isqrt64(rest > 65536 ? (uint64_t)rest : 65536);
                logarithm += 2 * (bs_log2_q8((uint64_t)lower[i][i]) - (8 << 8));
            } else {
                lower[i][j] = rest / lower[j][j];
            }
        }
    }
    for (uint32_t j = 0; j < dimensions; j++) {
        columns[j][j] = (INT64_C(1) << (BS_INVERSE_BITS + 8)) / lower[j][j];
        for (uint32_t i = j + 1; i < dimensions; i++) {
            int64_t rest = 0;
            for (uint32_t k = j; k < i; k++) {
                rest -= lower[i][k] * columns[k][j];
            }
            columns[i][j] = rest / lower[i][i];
        }
    }
    for (uint32_t i = 0; i < dimensions; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            const int64_t value = columns[i][j];
            *inverse++ = value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : (int32_t)value;
        }
    }
    return (int32_t)logarithm;
}

int32_t bs_white(const int32_t *inverse, uint32_t row, const int32_t *difference)
{
    uint64_t sum = 0; /* damaged tables may make it wrap */
    inverse += row * (row + 1) / 2;
    for (uint32_t k = 0; k <= row; k++) {
        sum += (uint64_t)((int64_t)inverse[k] * difference[k]);
    }
    const int64_t total = (int64_t)sum >> (BS_INVERSE_BITS - BS_WHITE_BITS);
    return total < -BS_LARGEST_WHITE ? -BS_LARGEST_WHITE : total > BS_LARGEST_WHITE ? BS_LARGEST_WHITE : (int32_t)total;
}

int64_t bs_distance(const int32_t *inverse, const int32_t *difference, uint32_t dimensions)
{
    int64_t total = 0;
    for (uint32_t row = 0; row < dimensions; row++) {
        const int64_t z = bs_white(inverse, row, difference);
        total += z * z;
    }
    return total;
}

int32_t bs_nearest(const int32_t *feature, const int32_t centre[][BS_MAX_FEATURES], const int32_t inverse[][BS_TRIANGLE],
                   const int32_t *offset, uint32_t count, int32_t limit, uint32_t dimensions)
{
    int32_t difference[BS_MAX_FEATURES], chosen = BS_FREE;
    int64_t best = 0;
    int member = 0;
    for (uint32_t k = 0; k < count; k++) {
        for (uint32_t a = 0; a < dimensions; a++) {
            difference[a] = bs_subtract(feature[a], centre[k][a]);
        }
        const int64_t d = bs_distance(inverse[k], difference, dimensions), score = d + offset[k];
        if (k == 0 || score < best) {
            best = score;
            chosen = (int32_t)k;
            member = d <= limit;
        }
    }
    return member ? chosen : BS_FREE;
}
