"""Seconds and milliseconds that a person gives, in frames of a recording."""

from __future__ import annotations

import math

from pipeline.errors import BitspikeError
from sensors.recording import Recording


def stretch(recording: Recording, start_s: float, stop_s: float | None) -> tuple[int, int]:
    """Return the frames ``[start, stop)`` of a stretch in seconds, or refuse one that is not within the recording."""
    rate = recording.format.rate_hz
    if not 0 <= start_s < recording.seconds:
        raise BitspikeError(f"start: {start_s:g} s is not within the recording's {recording.seconds:g} s")
    start = min(round(start_s * rate), recording.frames - 1)
    stop = min(round(stop_within(start_s, stop_s, recording.seconds) * rate), recording.frames)
    return start, max(stop, start + 1)


def stop_within(start_s: float, stop_s: float | None, seconds: float) -> float:
    """Return where to stop, at most a second beyond the recording's `seconds`, or refuse what is no time after the start."""
    beyond = seconds + 1  # rounding does not lose the last frame
    if stop_s is None:
        return beyond
    if not start_s < stop_s:
        raise BitspikeError(f"stop: {stop_s:g} s is not after the start, {start_s:g} s")
    if math.isinf(stop_s):
        raise BitspikeError("stop: inf s is no time; leave it out to go on to the recording's end")
    return min(stop_s, beyond)


def block_frames(block_ms: float, rate_hz: float) -> int:
    """Return the frames of a block of `block_ms`, or refuse a length that makes no sense."""
    if not 0 < block_ms <= 60_000:
        raise BitspikeError(f"block_ms: {block_ms:g}; give a length of up to 60000 ms, such as 10")
    return max(1, round(block_ms / 1000 * rate_hz))
