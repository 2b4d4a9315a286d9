/* Filters and detects on a made-up signal: noise on four channels at 24 kHz, and a spike every 50 ms, on one after the other. */
#include <stdio.h>

#include "bitspike/bandpass.h"
#include "bitspike/threshold.h"

#define CHANNELS 4
#define FRAMES 24  /* of a block: 1 ms */
#define BLOCKS 500
#define EVERY 1200 /* frames from spike to spike */

/* 300 to 6000 Hz and 4.5 sigma, negative, of 12-bit samples: what the Python designs, see the README. */
static const bs_bandpass_tables band = {
    .sections = 2, .gain = 17712, .scale = 0, .shift = 13,
    .c1 = {1014289657, 23943578}, .c2 = {-480799086, -103752791},
};
static const bs_threshold_tables level = {
    .factor = 1708, .negative = 1, .noise_stride = 8, .noise_learn = 10, .noise_gain = 3261,
};
static bs_bandpass_state filter;
static bs_threshold_state detector;

/* The next sample of a channel: uniform noise, and the spike whose turn it is. */
static int16_t sample(uint32_t *seed, int32_t frame, int32_t channel)
{
    static const int16_t shape[12] = {-60, -240, -600, -900, -700, -300, 50, 200, 180, 120, 60, 20};
    const int32_t at = frame % EVERY, turn = frame / EVERY % CHANNELS;
    *seed = *seed * 1664525u + 1013904223u;
    return (int16_t)((int32_t)(*seed >> 26) - 32 + (turn == channel && at < 12 ? shape[at] : 0));
}

int main(void)
{
    static const uint8_t trusted[FRAMES] = {0}; /* not 0 would say that a frame is not to be trusted */
    static int32_t at[FRAMES * CHANNELS], channel[FRAMES * CHANNELS], amplitude[FRAMES * CHANNELS];
    int16_t block[FRAMES][CHANNELS];
    uint32_t seed = 1;
    if (bs_bandpass_init(&band, &filter) != 0 || bs_threshold_init(&level, &detector) != 0) {
        return 1;
    }
    for (int32_t first = 0; first < BLOCKS * FRAMES; first += FRAMES) {
        for (int32_t n = 0; n < FRAMES; n++) {
            for (int32_t c = 0; c < CHANNELS; c++) {
                block[n][c] = sample(&seed, first + n, c);
            }
        }
        bs_bandpass_process(&band, &filter, block[0], block[0], FRAMES, CHANNELS);
        const int32_t spikes = bs_threshold_process(&level, &detector, block[0], trusted, at, channel, amplitude, FRAMES, CHANNELS);
        for (int32_t k = 0; k < spikes; k++) {
            printf("frame %d, channel %d: %d\n", (int)(first + at[k]), (int)channel[k], (int)amplitude[k]);
        }
    }
    return 0;
}
