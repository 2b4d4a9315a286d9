"""Mean waveforms and example snippets of the sorted units, gathered while a recording is replayed.

Only the first `EXAMPLES` spikes of each unit are looked at, so that neither memory nor time grows with the recording. Spikes
are taken in the order in which the chain gives them, which no split into blocks changes; so the result does not depend on the
blocks either.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from bitspike.columns import Columns
from pipeline.binding import call_plain
from pipeline.blocks import UNSORTED, SampleFormat, Samples, Spikes
from pipeline.fixed import kernel
from pipeline.neural.neighbours import nearest_channels

EXAMPLES = 100  # spikes of each unit
BEFORE_S, AFTER_S = 0.001, 0.0015  # of the peak
NEIGHBOURS, RADIUS_UM = 8, 75.0  # channels of a snippet, at most, and how near they are

BATCH_S = 0.05  # spikes are looked at together


class Waveforms:
    """Gathers waveforms of units from the samples that the spikes were found in.

    Parameters
    ----------
    columns : Columns
        Where ``snippets/waveform`` and ``snippets/unit`` grow.
    signal : SampleFormat
        Of the samples.
    lag : int
        Frames by which the chain's spikes may lag behind the samples.
    state : dict of str to numpy.ndarray, optional
        What `checkpoint` returned, to continue.

    Attributes
    ----------
    count : numpy.ndarray
        int64 [units]: examples gathered of each unit.
    sums : numpy.ndarray
        int64 [units, width, channels]: their sum.
    channels : numpy.ndarray
        int32 [units, neighbours]: channels of each unit's snippets, -1 where a group has fewer.
    """

    def __init__(self, columns: Columns, signal: SampleFormat, lag: int, state: dict[str, np.ndarray] | None = None) -> None:
        self.before = max(1, round(BEFORE_S * signal.rate_hz))
        self.width = self.before + max(1, round(AFTER_S * signal.rate_hz))
        self.near = neighbours(signal)
        self._batch = round(BATCH_S * signal.rate_hz)
        self._keep = lag + 2 * self.width + self._batch
        self._recent: deque[Samples] = deque()
        self._full = {UNSORTED}  # what needs no more examples
        self._spikes: list[Spikes] = []
        self._waiting = np.empty((0, 3), np.int64)  # sample, channel, unit
        self._stop, self._due = -1, 0
        self.count = np.zeros(0, np.int64)
        self.sums = np.zeros((0, self.width, signal.channels), np.int64)
        self.channels = np.zeros((0, self.near.shape[1]), np.int32)
        if state is not None:
            self.count, self.sums, self.channels = state["count"], state["sums"], state["channels"]
            self._waiting, self._stop = state["waiting"], int(state["stop"])
            self._full.update(np.flatnonzero(self.count >= EXAMPLES).tolist())
            self._recent.append(Samples(self._stop - len(state["recent"]), state["recent"]))
        self._snippets = columns.column("snippets/waveform", np.int16, (self.width, self.near.shape[1]))
        self._units = columns.column("snippets/unit", np.int32)

    def take(self, samples: Samples, spikes: Spikes) -> None:
        """Remember one block of samples, and the spikes that became known with it."""
        if samples.start != self._stop:
            self._gather()
            self._recent.clear()
            self._waiting = self._waiting[:0]
        frames = len(samples.data)
        self._stop = samples.start + frames
        if frames:
            recent = self._recent
            recent.append(samples)
            while len(recent) > 1 and recent[1].start <= samples.start - self._keep:
                recent.popleft()
        if len(spikes.unit) and not self._full.issuperset(spikes.unit.tolist()):
            self._spikes.append(spikes)
        if (self._spikes or len(self._waiting)) and self._stop >= self._due:
            self._gather()
            self._due = self._stop + self._batch

    def checkpoint(self) -> dict[str, np.ndarray]:
        """Return everything that what follows depends on."""
        self._gather()
        recent = [block.data for block in self._recent] or [np.zeros((0, self.sums.shape[2]), np.int16)]
        return {
            "count": self.count,
            "sums": self.sums,
            "channels": self.channels,
            "waiting": self._waiting,
            "stop": np.array(self._stop),
            "recent": np.concatenate(recent),
        }

    def mean(self) -> np.ndarray:
        """Return the mean waveforms: float32 [units, width, channels], in counts, zero for units without an example."""
        self._gather()
        return (self.sums / np.maximum(self.count, 1)[:, None, None]).astype(np.float32)

    def _gather(self) -> None:
        came = [np.stack([s.sample, s.channel, s.unit], axis=1) for s in self._spikes]
        spikes = np.concatenate([self._waiting, *came])
        self._spikes.clear()
        spikes = spikes[spikes[:, 2] >= 0]
        if len(spikes):
            self._make_room(int(spikes[:, 2].max()) + 1)
            spikes = spikes[self.count[spikes[:, 2]] < EXAMPLES]
        if len(spikes):
            complete = spikes[:, 0] - self.before + self.width <= self._stop
            ready = len(spikes) if complete.all() else int(np.argmin(complete))
            self._cut(spikes[:ready])
            self._full.update(np.flatnonzero(self.count >= EXAMPLES).tolist())
            spikes = spikes[ready:]
        self._waiting = spikes

    def _make_room(self, units: int) -> None:
        more = units - len(self.count)
        if more > 0:
            self.count = np.concatenate([self.count, np.zeros(more, np.int64)])
            self.sums = np.concatenate([self.sums, np.zeros((more, *self.sums.shape[1:]), np.int64)])
            self.channels = np.concatenate([self.channels, np.full((more, self.near.shape[1]), -1, np.int32)])

    def _cut(self, spikes: np.ndarray) -> None:
        if not len(spikes) or not self._recent:
            return
        data = np.concatenate([block.data for block in self._recent])
        snippets, owners = np.empty((len(spikes), self.width, self.near.shape[1]), np.int16), np.empty(len(spikes), np.int32)
        spikes[:, 0] -= self.before + self._recent[0].start  # where the windows begin
        cut = call_plain(_cut, data, spikes, self.near, self.count, self.sums, self.channels, snippets, owners)
        self._snippets.append(snippets[:cut])
        self._units.append(owners[:cut])


def warm_up() -> None:
    """Have the kernel compiled, or its machine code loaded, before time counts."""
    none = np.zeros((0, 0), np.int64)
    call_plain(
        _cut,
        none.astype(np.int16),
        none,
        none.astype(np.int32),
        np.zeros(0, np.int64),
        np.zeros((0, 0, 0), np.int64),
        none.astype(np.int32),
        np.zeros((0, 0, 0), np.int16),
        np.zeros(0, np.int32),
    )


@kernel
def _cut(data, spikes, near, count, sums, channels, snippets, owners):  # type: ignore[no-untyped-def]
    """Cut windows out of data: int16 [frames, channels], for spikes (first frame, channel, unit); return how many were wanted."""
    cut = 0
    for i in range(len(spikes)):
        begin, unit = spikes[i, 0], spikes[i, 2]
        if count[unit] >= EXAMPLES or begin < 0:
            continue
        if count[unit] == 0:
            channels[unit] = near[spikes[i, 1]]
        count[unit] += 1
        for n in range(snippets.shape[1]):
            for c in range(data.shape[1]):
                sums[unit, n, c] += data[begin + n, c]
            for k in range(snippets.shape[2]):
                c = channels[unit, k]
                snippets[cut, n, k] = data[begin + n, c] if c >= 0 else 0
        owners[cut] = unit
        cut += 1
    return cut


def neighbours(signal: SampleFormat) -> np.ndarray:
    """Return the channels that are shown with each channel: int32 [channels, up to 8], ascending, -1 where there are fewer.

    They are the nearest that see the same spikes, so units of a small group are all shown on the same channels.
    """
    near = np.sort(nearest_channels(signal, min(NEIGHBOURS, signal.channels), RADIUS_UM).astype(np.int32), axis=1)
    most = int((near >= 0).sum(axis=1).max())
    return np.take_along_axis(near, np.argsort(near < 0, axis=1, kind="stable")[:, :most], axis=1)


def peak(mean: np.ndarray, within: np.ndarray) -> tuple[Any, Any]:
    """Return the channel of the largest deflection of mean waveforms, and its value: [units] each.

    Parameters
    ----------
    mean : numpy.ndarray
        Mean waveforms [units, width, channels].
    within : numpy.ndarray
        bool [units, channels]: where to look for it.
    """
    if not len(mean):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    flat = mean.reshape(len(mean), -1)
    at = np.where(within[:, None, :], np.abs(mean), -1).reshape(flat.shape).argmax(axis=1)
    return at % mean.shape[2], np.take_along_axis(flat, at[:, None], axis=1)[:, 0]
