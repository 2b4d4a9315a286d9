/* What the two spike detectors share; pipeline/neural/detection.py is the same text in Python. */
#ifndef BS_DETECTION_H
#define BS_DETECTION_H

#include "bitspike/config.h"

#define BS_LAG 18 /* frames by which a peak may become known later, at most */

typedef struct {        /* where a detector writes its peaks, int32 each: frame in the block, channel, value; and how many they are */
    int32_t *at;
    int32_t *channel;
    int32_t *amplitude;
    int32_t count;
} bs_peaks;

/* Writes a peak unless its channel is in its dead time. */
BS_INLINE void bs_report(bs_peaks *peaks, int32_t frame, uint32_t c, int32_t value, uint32_t refractory, int32_t *ready)
{
    if (refractory != 0) {
        if (frame < ready[c]) {
            return;
        }
        ready[c] = frame + (int32_t)refractory;
    }
    peaks->at[peaks->count] = frame;
    peaks->channel[peaks->count] = (int32_t)c;
    peaks->amplitude[peaks->count] = value;
    peaks->count++;
}

/* Counts the frames at which the channels are ready again from the end of a block of `frames`. */
BS_INLINE void bs_pass_time(int32_t *ready, uint32_t frames, uint32_t channels)
{
    for (uint32_t c = 0; c < channels; c++) {
        const int64_t left = (int64_t)ready[c] - frames;
        ready[c] = left < -BS_LAG ? -BS_LAG : (int32_t)left;
    }
}

#endif
