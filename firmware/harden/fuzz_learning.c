/* Any tables and any spikes for the sorter's training: it stays within the workspace that it asked for, and tables that the
 * sorter takes are such that it takes them afterwards.
 *
 * An input is: channels, spikes, what the workspace lacks, the tables, then the spikes: channel, amplitude and waveform of each. */
#include <stdlib.h>
#include <string.h>

#include "bitspike/learning.h"

#define MOST_SPIKES 120u
#define MOST_BYTES (1u << 24) /* of a workspace; more only takes longer */
#define HEAD 3u

typedef struct {
    const uint8_t *at;
    size_t left;
} bytes;

/* Memory of a size of its own, filled from the input; what that lacks is zero. */
static void *some(bytes *in, size_t size)
{
    uint8_t *const memory = calloc(size > 0 ? size : 1, 1);
    const size_t have = size < in->left ? size : in->left;
    if (memory == NULL) {
        abort();
    }
    if (have > 0) {
        memcpy(memory, in->at, have);
        in->at += have;
        in->left -= have;
    }
    return memory;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD) {
        return 0;
    }
    bytes in = {data + HEAD, size - HEAD}, none = {NULL, 0};
    const uint32_t channels = 1u + data[0] % BS_MAX_CHANNELS, spikes = data[1] % (MOST_SPIKES + 1u), lacking = data[2] % 4u;
    bs_sorter_tables *const tables = some(&in, sizeof *tables);
    bs_sorter_state *const state = some(&none, sizeof *state);
    const int32_t refused = bs_sorter_init(tables, state); /* as designed: training looks at what it needs only */
    const uint32_t needed = bs_sorter_learn_bytes(tables, channels, spikes);
    if (needed > 0 && needed <= MOST_BYTES) {
        const uint32_t room = needed > lacking ? needed - lacking : 0u;
        const size_t each = (size_t)tables->neighbours * (size_t)tables->width;
        int32_t *const channel = some(&none, sizeof *channel * spikes);
        int32_t *const amplitude = some(&none, sizeof *amplitude * spikes);
        for (uint32_t i = 0; i < spikes; i++) {
            channel[i] = (int32_t)(i % channels);
        }
        for (uint32_t i = 0; i < spikes && in.left >= 3; i++, in.at += 3, in.left -= 3) {
            channel[i] = in.at[0] % (int32_t)channels;
            amplitude[i] = (int16_t)(in.at[1] | in.at[2] << 8);
        }
        int16_t *const waveform = some(&in, sizeof *waveform * each * spikes);
        void *const workspace = some(&none, room);
        const int32_t units = bs_sorter_learn(tables, workspace, room, channel, waveform, amplitude, channels, spikes);
        if (units > tables->most_units || (units >= 0 && refused == 0 && bs_sorter_init(tables, state) != 0)) {
            abort();
        }
        free(workspace);
        free(waveform);
        free(amplitude);
        free(channel);
    }
    free(state);
    free(tables);
    return 0;
}
