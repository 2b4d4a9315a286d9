"""Tracker: finds each particle that passes, event by event, and hands its events on in a fixed form.

- **mark**: a particle's events are of either polarity, but those of one may tell better when it passed: where its light makes
  brighter events at once, and darker ones for long afterwards. Those that `marks` names begin a track, split and end it.
- **seed**: events that belong to no track are counted in cells of `seed_px` pixels; `seed_events` within `seed_us` begin a track.
- **follow**: an event belongs to the track whose middle is nearest, if that is within `reach_px` along both axes; the middle
  follows the events, and coasts with its speed where there are none (see `clusters`).
- **merge**: tracks whose middles come within `merge_px` are one.
- **split**: where the events of a track fall off and rise again, another particle follows the first.
- **close**: a track that had fewer than `busy_events` events in each of `idle_bins` bins of `bin_us` is over. One with fewer than
  `least_events` was none. So a record is available (`idle_bins` + 1) `bin_us` after the particle's exit at the latest.

A passage is flagged as a doublet if tracks merged, if it had two humps, or if it lasted longer, was larger along either axis, or
was heavier, by more than `longer_percent`, `larger_percent` or `heavier_percent`, than others were (see `records`).

Velocity is the slope of the line through the bins' mean places (least squares); of a hologram that fills the sensor it is that of
the pattern under the beam. Sizes are twice the mean distance of the events from the track's middle.
`firmware/src/tracker.c`, with `clusters.c` and `records.c`, is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.blocks import EVENT_COLUMNS, PARTICLE_COLUMNS, SPLIT, EventFormat, Events, Particles
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.events import clusters as c
from pipeline.events import records as r
from pipeline.events.clusters import FIELDS, FINE, MOST_BIN, MOST_BINS, MOST_EVENTS, begin, end_bin, merge, take
from pipeline.events.records import RECORD, finish
from pipeline.events.tensor import mark, reciprocal
from pipeline.events.tracker_parameters import MARKS, TrackerParameters
from pipeline.fixed import kernel, linked, require_fits
from pipeline.layout import Field, blank, layout
from pipeline.stage import Design, Stage

LEAST_SEED_SHIFT = 2


@linked
def _free(tracks, most):  # type: ignore[no-untyped-def]
    """Return a row that is no track's, or -1."""
    for k in range(most):
        if tracks[k, c.ACTIVE] == 0:
            return k
    return -1


@linked
def _end_bins(  # type: ignore[no-untyped-def]
    most, bin_us, busy, idle_bins, hump_ratio, split_ratio, marks, width, height, merge_fine, speed, limits, size,
    due, active, passages, discarded, learned, recent, tracks, tensors, until, out, out_tensor, found,
):  # fmt: skip
    """End all bins that are due at time `until` (uint32) or before, in order of time; return the number of records.

    `due` becomes the time of the next bin's end.
    """
    while active[0] != np.uint32(0) and np.int32(np.uint32(until - due[0])) >= 0:
        now = due[0]
        for k in range(most):
            if tracks[k, c.ACTIVE] == 0 or np.uint32(tracks[k, c.DUE]) != now:
                continue
            follows = end_bin(tracks[k], np.uint32(bin_us), busy, hump_ratio, split_ratio, marks, width, height)
            for j in range(most):
                if j != k and merge_fine != 0 and tracks[j, c.ACTIVE] != 0:
                    apart_x, apart_y = abs(tracks[j, c.X] - tracks[k, c.X]), abs(tracks[j, c.Y] - tracks[k, c.Y])
                    if apart_x <= merge_fine and apart_y <= merge_fine:
                        older = np.int32(np.uint32(np.uint32(tracks[j, c.NUMBER]) - np.uint32(tracks[k, c.NUMBER]))) < 0
                        one, other = (j, k) if older else (k, j)
                        merge(tracks[one], tracks[other], limits[0], tensors[one], tensors[other])
                        active[0] -= np.uint32(1)
                        if older:
                            break
            if tracks[k, c.ACTIVE] == 0:
                continue
            full = tracks[k, c.BINS] >= MOST_BINS or tracks[k, c.OFF] + tracks[k, c.ON] >= MOST_EVENTS
            if follows or full or tracks[k, c.IDLE] >= idle_bins:
                x, y = tracks[k, c.X] >> FINE, tracks[k, c.Y] >> FINE
                if follows:
                    tracks[k, c.FLAGS] |= SPLIT
                made = finish(
                    limits, bin_us, size, marks, learned, recent, tracks[k], tensors[k], now, out[found], out_tensor[found]
                )
                found += made
                discarded[0] += np.uint32(1 - made)
                if follows or full:
                    begin(tracks[k], np.int32(passages[0]), now, x, y, speed, np.uint32(bin_us))
                    tracks[k, c.FLAGS] = SPLIT
                    if follows:  # with the bin that has ended
                        tracks[k, c.FIRST] = np.int32(np.uint32(now - np.uint32(bin_us)))
                    tensors[k, :] = 0
                    passages[0] += np.uint32(1)
                else:
                    active[0] -= np.uint32(1)
        first = True
        for k in range(most):
            if tracks[k, c.ACTIVE] != 0:
                at = np.uint32(tracks[k, c.DUE])
                if first or np.int32(np.uint32(at - due[0])) < 0:
                    due[0], first = at, False
    return found


@kernel
def process(  # type: ignore[no-untyped-def]
    width, height, seed_shift, seed_events, seed_us, reach_x, reach_y, merge_fine, speed, bin_us, busy, idle_bins, most, hump_ratio,
    split_ratio, marks, grid_columns, grid_rows, extent_x, extent_y, extent_us, cell_factor, step_factor, follow, half_x, half_y,
    limits, size,
    due, active, passages, discarded, missed, outside, learned, recent, seed_time, seed_count, tracks, tensors,
    t, x, y, p, out, out_tensor, count, stop,
):  # fmt: skip
    """Follow `count` events until time `stop` (the clock's 32 bits); return the number of records.

    t: int64, x, y: uint16, p: uint8, all [count].  out: int32 [room, `RECORD`], out_tensor: uint8 [room, bytes]: what is closed.
    """
    found = 0
    for i in range(np.uint64(count)):
        column, row = np.int32(x[i]), np.int32(y[i])
        if column >= width or row >= height:
            outside[0] += np.uint32(1)
            continue
        now, polarity = np.uint32(t[i]), np.int64(p[i] != 0)
        if active[0] != np.uint32(0) and np.int32(np.uint32(now - due[0])) >= 0:
            found = _end_bins(
                most, bin_us, busy, idle_bins, hump_ratio, split_ratio, marks, width, height, merge_fine, speed, limits, size,
                due, active, passages, discarded, learned, recent, tracks, tensors, now, out, out_tensor, found,
            )  # fmt: skip
        mine, nearest, left, k = -1, 1 << 30, np.int64(active[0]), 0
        while left > 0 and k < most:
            if tracks[k, c.ACTIVE] != 0:
                left -= 1
                apart_x, apart_y = abs(column - (tracks[k, c.X] >> FINE)), abs(row - (tracks[k, c.Y] >> FINE))
                if apart_x <= reach_x and apart_y <= reach_y and apart_x + apart_y < nearest:
                    mine, nearest = k, apart_x + apart_y
            k += 1
        if mine < 0:
            if (marks >> np.uint32(polarity)) & np.uint32(1) == 0:
                continue
            u, v = row >> np.int32(seed_shift), column >> np.int32(seed_shift)
            if np.uint32(now - seed_time[u, v]) > seed_us or seed_count[u, v] == 0:
                seed_time[u, v], seed_count[u, v] = now, 0
            seed_count[u, v] += np.uint16(1)
            if seed_count[u, v] < seed_events:
                continue
            seed_count[u, v] = 0
            mine = _free(tracks, most)
            if mine < 0:
                missed[0] += np.uint32(1)
                continue
            begin(tracks[mine], np.int32(passages[0]), seed_time[u, v], column, row, speed, np.uint32(bin_us))
            tracks[mine, c.DUE] = np.int32(np.uint32(now + np.uint32(bin_us)))
            tensors[mine, :] = 0
            passages[0] += np.uint32(1)
            if active[0] == np.uint32(0) or np.int32(np.uint32(np.uint32(tracks[mine, c.DUE]) - due[0])) < 0:
                due[0] = np.uint32(tracks[mine, c.DUE])
            active[0] += np.uint32(1)
        take(tracks[mine], now, column, row, polarity)
        u, v = column, row
        if follow != 0:
            u = np.int32(column - (tracks[mine, c.X] >> FINE) + half_x)
            v = np.int32(row - (tracks[mine, c.Y] >> FINE) + half_y)
        past = np.uint32(now - np.uint32(tracks[mine, c.FIRST]))
        mark(
            grid_columns, grid_rows, extent_x, extent_y, extent_us, cell_factor, step_factor, tensors[mine], u, v, past,
            np.uint32(polarity),
        )  # fmt: skip
    return _end_bins(
        most, bin_us, busy, idle_bins, hump_ratio, split_ratio, marks, width, height, merge_fine, speed, limits, size,
        due, active, passages, discarded, learned, recent, tracks, tensors, np.uint32(stop), out, out_tensor, found,
    )  # fmt: skip


class Tracker(Stage):
    """Particle tracker; see the module."""

    name = "tracker"
    Parameters = TrackerParameters
    takes = (Events,)
    gives = Particles
    kernel = staticmethod(process)
    call = ("t", "x", "y", "p", "out_records", "out_tensors", "events", "stop")
    record_fields = RECORD
    keeps_on_gap = ("passages", "discarded", "missed", "learned", "recent")

    def __init__(self, parameters: Any, signal: EventFormat, *others: Any, **named: Any) -> None:
        super().__init__(parameters, signal, *others, **named)
        p = self.parameters
        self.latency = (p.idle_bins + 1) * p.bin_us
        self.tensor_bytes = p.tensor_bytes
        self._nothing: tuple[np.ndarray, ...] = ()

    @classmethod
    def needed(cls, parameters: TrackerParameters, signal: EventFormat) -> Capacity:
        """Return the capacity for the sensor, the tracks and their tensors."""
        p = parameters
        return Capacity(columns=signal.width, rows=signal.height, tracks=p.tracks, tensor_bytes=p.tensor_bytes)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_tracker_tables``."""
        whole: dict[str, Field] = dict.fromkeys(("width", "height", "seed_shift", "seed_events", "seed_us"), "u4")
        signed: dict[str, Field] = dict.fromkeys(("reach_x", "reach_y", "merge_fine", "speed"), "i4")
        more: dict[str, Field] = dict.fromkeys(("bin_us", "busy", "idle_bins", "most", "hump_ratio", "split_ratio"), "i4")
        grid: dict[str, Field] = dict.fromkeys(
            ("marks", "grid_columns", "grid_rows", "extent_x", "extent_y", "extent_us", "cell_factor", "step_factor", "follow"),
            "u4",
        )
        return layout(**whole, **signed, **more, **grid, half_x="i4", half_y="i4", limits=("i4", 9), size="u4")

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_tracker_state``."""
        counts: dict[str, Field] = dict.fromkeys(("due", "active", "passages", "discarded", "missed", "outside", "learned"), "u4")
        seeds = ((capacity.rows >> LEAST_SEED_SHIFT) + 1, (capacity.columns >> LEAST_SEED_SHIFT) + 1)
        return layout(
            **counts,
            recent=("i4", (4, r.RECENT)),
            seed_time=("u4", seeds),
            seed_count=("u2", seeds),
            tracks=("i4", (capacity.tracks, FIELDS)),
            tensors=("u1", (capacity.tracks, capacity.tensor_bytes)),
        )

    @classmethod
    def design(cls, parameters: TrackerParameters, signal: EventFormat, capacity: Capacity) -> Design:
        """Turn sizes into shifts and reciprocals; prove that the sums of a track fit."""
        p = parameters
        latency = (p.idle_bins + 1) * p.bin_us
        if latency > 1000:
            raise BitspikeError(
                f"idle_bins, bin_us: a record would come {latency} us after the exit; choose at most 1000 us together"
            )
        most = max(signal.width, signal.height)
        require_fits("the sum of distances", 1.0 * (MOST_EVENTS + MOST_BIN) * max(p.reach_px), 32)
        require_fits("the sum of places and times", 16.0 * most * MOST_BINS * MOST_BINS / 2, 32)
        require_fits("the velocity's numerator", 16.0 * most * MOST_BINS**3 / 2 * r.PER_SECOND, 64)
        tables = blank(cls.tables_layout(capacity))
        tables["width"], tables["height"] = signal.width, signal.height
        tables["seed_shift"], tables["seed_events"], tables["seed_us"] = p.seed_px.bit_length() - 1, p.seed_events, p.seed_us
        tables["reach_x"], tables["reach_y"] = p.reach_px
        tables["merge_fine"], tables["speed"] = p.merge_px << FINE, round(p.speed_px_us * p.bin_us * (1 << FINE))
        tables["bin_us"], tables["busy"], tables["idle_bins"], tables["most"] = p.bin_us, p.busy_events, p.idle_bins, p.tracks
        tables["hump_ratio"], tables["split_ratio"], tables["marks"] = p.hump_ratio, p.split_ratio, MARKS[p.marks]
        columns, rows, steps = p.grid
        tables["grid_columns"], tables["grid_rows"] = columns, rows
        tables["extent_x"], tables["extent_y"], tables["extent_us"] = columns * p.cell_px, rows * p.cell_px, steps * p.step_us
        tables["cell_factor"] = reciprocal(p.cell_px, max(columns, rows) * p.cell_px)
        tables["step_factor"] = reciprocal(p.step_us, steps * p.step_us)
        tables["follow"] = p.follow
        tables["half_x"], tables["half_y"] = (n * p.cell_px // 2 for n in p.grid[:2])
        sizes = [round(16 * size) for size in p.gate_size_px]
        tables["limits"] = [
            p.least_events,
            p.longer_percent,
            p.larger_percent,
            p.heavier_percent,
            *p.gate_events,
            *sizes,
            p.gate_alone,
        ]
        tables["size"] = p.tensor_bytes
        proofs = {"record after exit, us at most": latency, "tensor, bytes": p.tensor_bytes}
        return Design(tables, signal, proofs)

    @classmethod
    def examples(cls) -> Iterator[Any]:
        """Yield particles that move through the picture, with a grid that goes along or not, and some that fill it."""
        small = TrackerParameters(
            seed_px=4,
            seed_events=6,
            reach_px=(9, 9),
            least_events=60,
            grid=(8, 6, 4),
            cell_px=5,
            tracks=4,
            merge_px=4,
            busy_events=2,
        )
        yield replace(small, speed_px_us=0.05)
        yield replace(small, tracks=2, follow=True, merge_px=9, hump_ratio=2, split_ratio=2, larger_percent=10)
        yield replace(
            small, reach_px=(64, 64), busy_events=30, split_ratio=3, gate_events=(500, 900), marks="on", heavier_percent=5
        )

    def room(self, frames: int, spikes: int) -> int:
        """Return the most particles that can be over within so many events."""
        return int(self.parameters.tracks + frames // self.parameters.least_events + 1)

    def advance(self, events: Events) -> Particles:
        """Follow the events; what is closed by the block's end is given."""
        p, count = self.parameters, len(events)
        room = self.room(count, 0)
        out, tensor = np.zeros((room, RECORD), np.int32), np.zeros((room, self.tensor_bytes), np.uint8)
        columns = [np.ascontiguousarray(getattr(events, name)) for name in EVENT_COLUMNS]
        found = self.step(*columns, out, tensor, count, events.stop & 0xFFFF_FFFF)
        if found < 0:
            raise self.refused(found)
        if found == 0 and self._nothing:  # most blocks: a quarter of the stage's time
            return Particles(events.start, events.stop, *self._nothing)
        out = out[:found]
        first, last, closed = (self._exact(out[:, k], events.stop) for k in (r.FIRST, r.LAST, r.CLOSED))
        given = Particles(
            events.start,
            events.stop,
            track=out[:, r.NUMBER].copy(),
            first_us=first,
            last_us=last,
            closed_us=closed,
            path=out[:, r.X0 : r.Y1 + 1].copy(),
            events=out[:, r.OFF : r.ON + 1].copy(),
            velocity=out[:, r.VX : r.VY + 1].copy(),
            size=out[:, r.SIZE_X : r.SIZE_Y + 1].copy(),
            box=out[:, r.LEFT : r.BOTTOM + 1].copy(),
            flags=out[:, r.FLAGS].astype(np.uint8),
            gate_us=closed.copy(),
            deadline_us=last + p.sort_us,
            gate=out[:, r.GATE].astype(np.uint8),
            tensor=tensor[:found],
        )
        if found == 0:
            self._nothing = tuple(getattr(given, name) for name in PARTICLE_COLUMNS)
        return given

    @staticmethod
    def _exact(clock: np.ndarray, stop: int) -> np.ndarray:
        """Return times of the 32-bit clock as exact ones: all are before `stop`, by less than 71 minutes."""
        back = (np.uint32(stop & 0xFFFF_FFFF) - clock.astype(np.uint32)).astype(np.int64)
        return stop - back
