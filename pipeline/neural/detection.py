"""What the two spike detectors share: the block's way through the kernel, and how a peak is reported."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.blocks import Samples, Spikes, concatenate
from pipeline.fixed import inlined
from pipeline.stage import Stage

POLARITIES = ("negative", "positive", "both")
GROUP = 64  # samples that the host tests at once
CALL = 1 << 20  # samples that one call of a kernel takes, so that its output is bounded
LAG = 18  # frames by which a peak may become known later, at most
NO_CHANNEL, NO_TIME = -1, -2  # of a kernel that takes spikes, and refuses one
NONE = np.empty(0, np.int32)


@inlined
def report(frame, c, value, refractory, ready, at, channel, amplitude, count):  # type: ignore[no-untyped-def]
    """Write a peak unless its channel is in its dead time; return the count of those written."""
    if refractory != 0:
        if np.int32(frame) < ready[c]:
            return count
        ready[c] = np.int32(frame) + np.int32(refractory)
    at[count], channel[count], amplitude[count] = frame, c, value
    return count + 1


@inlined
def pass_time(ready, frames, channels):  # type: ignore[no-untyped-def]
    """Count the frames at which the channels are ready again from the end of a block of `frames`."""
    for c in range(channels):
        ready[c] = np.int32(max(np.int64(ready[c]) - frames, np.int64(-LAG)))


class Detector(Stage):
    """A stage whose kernel takes samples and flags, and writes frame in the block, channel and amplitude of peaks, one a sample."""

    gives = Spikes
    call = ("x", "flags", "out_at", "out_channel", "out_amplitude", "frames", "channels")
    _room = np.empty((3, 0), np.int32)  # what the kernel writes to; kept, since a block can have as many peaks as samples

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_room"}

    def room(self, frames: int, spikes: int) -> int:
        """Return the most peaks of a block: of one polarity, no two can follow each other on a channel."""
        alone = self.parameters.polarity != "both"
        return ((frames + 1) // 2 if alone else frames) * self.signal.channels

    def advance(self, samples: Samples) -> Spikes:
        """Detect in one block."""
        frames, channels = samples.data.shape
        flags, most = samples.frame_flags, max(1, CALL // channels)
        if frames <= most:
            return self._detect(samples.start, samples.stop, samples.data, flags)
        found = []
        for first in range(0, frames, most):
            x = samples.data[first : first + most]
            start = samples.start + first
            found.append(self._detect(start, start + len(x), x, flags[first : first + most]))
        return concatenate(found)  # type: ignore[no-any-return]

    def _detect(self, start: int, stop: int, x: np.ndarray, flags: np.ndarray) -> Spikes:
        if self._room.shape[1] < x.size:
            self._room = np.empty((3, x.size), np.int32)
        found = self._room
        count = self.step(x, flags, found[0], found[1], found[2], *x.shape)
        if count == 0:
            return Spikes(start, stop)
        sample = found[0, :count].astype(np.int64)
        sample += start
        return Spikes(start, stop, sample, found[1, :count].copy(), found[2, :count].copy())


def misplaced(code: int, channels: int, reach: int) -> str:
    """Return why a kernel that takes spikes, with a past of `reach` frames, refused one."""
    if code == NO_CHANNEL:
        return f"a spike is on no channel of the chain, which has {channels}"
    return f"a spike lies outside its block and the {reach} frames before: take it from a detector, or shorten what delays it"
