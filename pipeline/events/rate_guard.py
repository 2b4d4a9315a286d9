"""Event-rate guard: passes at most so many events a second, and counts what it drops; it never waits.

A bucket holds `burst` tokens and is refilled at `rate_hz`; an event that finds a token takes it and passes, one that finds none
is dropped. So short bursts go through whole, and what follows is never given more than rate x time + burst events. The state
keeps what is missing from the bucket, in 2**-16 tokens, on a clock of 32 bits: after a silence of a multiple of 71.6 minutes it
may be fuller than the guard thinks. `firmware/src/rate_guard.c` is the same text in C.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat
from pipeline.capacity import Capacity
from pipeline.events.filtering import EventStage
from pipeline.fixed import inlined, kernel
from pipeline.layout import blank, layout
from pipeline.stage import Design, Parameters

TOKEN = 1 << 16


@dataclass(frozen=True)
class RateGuardParameters(Parameters):
    """Parameters in physical units.

    Attributes
    ----------
    rate_hz : float
        Events per second that pass in the long run, 10,000 to 60,000,000.
    burst : int
        Events that may pass at once after a pause, 1 to 32,000.
    """

    rate_hz: float = 20e6
    burst: int = 20_000

    def __post_init__(self) -> None:
        self.require("rate_hz", 1e4 <= self.rate_hz <= 6e7, "choose 10,000 to 60,000,000")
        self.require("burst", 1 <= self.burst <= 32_000, "choose 1 to 32,000")


@inlined
def _take(refill, size, full_us, before, taken, now):  # type: ignore[no-untyped-def]
    """Return what is used of the bucket once an event at `now` has come, and 1 if that found a token."""
    past = min(np.uint32(now - before), full_us)
    left = np.uint32(taken - min(np.uint32(past * refill), taken))
    passes = np.uint32(left + np.uint32(TOKEN)) <= size
    return np.uint32(left + np.uint32(TOKEN)) if passes else left, np.uint64(passes)


@kernel
def process(  # type: ignore[no-untyped-def]
    refill, size, full_us, clock, used, dropped, t, x, y, p, out_t, out_x, out_y, out_p, count,
):  # fmt: skip
    """Copy the events that find a token; return how many."""
    before, taken, passed = clock[0], used[0], np.uint64(1)
    n, i, all_events = np.uint64(0), np.uint64(0), np.uint64(count)
    while i < all_events and passed:  # as a rule all do, and are copied at once
        now = np.uint32(t[i])
        taken, passed = _take(refill, size, full_us, before, taken, now)
        before = now
        i += np.uint64(1)
        n += passed
    for k in range(n):
        out_t[k] = t[k]
    for k in range(n):
        out_x[k], out_y[k] = x[k], y[k]
    for k in range(n):
        out_p[k] = p[k]
    for k in range(i, all_events):
        now = np.uint32(t[k])
        taken, passed = _take(refill, size, full_us, before, taken, now)
        before = now
        out_t[n], out_x[n], out_y[n], out_p[n] = t[k], x[k], y[k], p[k]
        n += passed
    clock[0], used[0] = before, taken
    dropped[0] += np.uint32(all_events - n)
    return np.int64(n)


class RateGuard(EventStage):
    """Event-rate guard; see the module."""

    name = "rate_guard"
    grows = False
    Parameters = RateGuardParameters
    kernel = staticmethod(process)

    @classmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_rate_guard_tables``."""
        return layout(refill="u4", size="u4", full_us="u4")

    @classmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of ``bs_rate_guard_state``."""
        return layout(clock="u4", used="u4", dropped="u4")

    @classmethod
    def design(cls, parameters: RateGuardParameters, signal: EventFormat, capacity: Capacity) -> Design:
        """Turn the rate into a refill a microsecond; an empty bucket is full after `full_us`, whose refill is below 2**32."""
        refill, size = round(parameters.rate_hz * TOKEN / 1e6), parameters.burst * TOKEN
        tables = blank(cls.tables_layout(capacity))
        tables["refill"], tables["size"], tables["full_us"] = refill, size, -(-size // refill)
        return Design(tables, signal, {"rate, events a second": refill * 1e6 / TOKEN})

    @classmethod
    def examples(cls) -> Iterator[Any]:
        """Yield a narrow and a wide bucket."""
        yield RateGuardParameters(rate_hz=200_000, burst=3)
        yield RateGuardParameters(rate_hz=1_000_000, burst=200)
