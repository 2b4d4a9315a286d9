"""Spikes that wait until all that may overlap them is known, and whose turn it is.

A list that is full drops spikes and counts them; a tick brings no more than a list can hold, however the stream is cut.
`firmware/src/waiting.c` is the same text in C.
"""

from __future__ import annotations

import numpy as np

from pipeline.fixed import inlined, linked

TICK = 16  # frames
PER_TICK = 16  # spikes that one tick may bring: 24,000 a second at 24 kHz
FRAME_MASK = (1 << 30) - 1


@linked
def wait(waiting, wait_at, wait_channel, wait_amplitude, dropped, at, channel, amplitude):  # type: ignore[no-untyped-def]
    """Put a spike on a list; where that is full, drop and count it."""
    w = waiting[0]
    if w == len(wait_at):
        dropped[0] += 1
        return
    wait_at[w], wait_channel[w], wait_amplitude[w] = at, channel, amplitude
    waiting[0] += 1


@linked
def expected(tick_of, tick_spikes, ticks, frame, dropped):  # type: ignore[no-untyped-def]
    """Return whether a spike is among the first `PER_TICK` of its tick, else count it as dropped: so no list can be filled by one
    block that another cut of the stream would not fill."""
    tick = np.int32((frame & FRAME_MASK) // TICK)
    k = tick % ticks
    if tick_of[k] != tick:
        tick_of[k], tick_spikes[k] = tick, 0
    if tick_spikes[k] == PER_TICK:
        dropped[0] += 1
        return False
    tick_spikes[k] += 1
    return True


@linked
def admit(  # type: ignore[no-untyped-def]
    due, arriving, arrive_at, arrive_channel, arrive_amplitude, waiting, wait_at, wait_channel, wait_amplitude, dropped,
    start, tick_of, tick_spikes, ticks, next_spike, spikes, spike_at, spike_channel, spike_amplitude,
):  # fmt: skip
    """Let the spikes up to `due` wait their turn: those that arrived with earlier blocks, then this block's; return how far."""
    first = 0
    while first < arriving[0] and arrive_at[first] <= due:
        one, on, size = arrive_at[first], arrive_channel[first], arrive_amplitude[first]
        wait(waiting, wait_at, wait_channel, wait_amplitude, dropped, one, on, size)
        first += 1
    arriving[0] -= first
    if first > 0:
        for a in range(arriving[0]):
            arrive_at[a], arrive_channel[a] = arrive_at[a + first], arrive_channel[a + first]
            arrive_amplitude[a] = arrive_amplitude[a + first]
    while arriving[0] == 0 and next_spike < spikes and spike_at[next_spike] <= due:
        one, on, size = spike_at[next_spike], spike_channel[next_spike], spike_amplitude[next_spike]
        if expected(tick_of, tick_spikes, ticks, start + one, dropped):
            wait(waiting, wait_at, wait_channel, wait_amplitude, dropped, one, on, size)
        next_spike += 1
    return next_spike


@linked
def foremost(waiting, wait_at, wait_channel, wait_amplitude, sites, now, delay, reach):  # type: ignore[no-untyped-def]
    """Return the largest spike that has waited long enough and that no larger, later one nearby holds back; -1 if none.

    Being held back ends after two ticks. Whatever could overlap a spike is known by then (`delay` sees to that).
    """
    chosen = -1
    for w in range(waiting[0]):
        age = now - wait_at[w]
        if age < delay or (chosen >= 0 and abs(wait_amplitude[w]) <= abs(wait_amplitude[chosen])):
            continue
        held = False
        if age < delay + 2 * TICK:
            for v in range(waiting[0]):
                other = now - wait_at[v]
                if other < delay and age - other <= reach and abs(wait_amplitude[v]) > abs(wait_amplitude[w]):
                    for k in range(sites.shape[1]):
                        held = held or sites[wait_channel[w], k] == wait_channel[v]
        if not held:
            chosen = w
    return chosen


@inlined
def ripe(waiting, wait_at, due):  # type: ignore[no-untyped-def]
    """Return whether a spike has waited since frame `due`."""
    oldest = due + 1
    for w in range(waiting[0]):
        oldest = min(oldest, wait_at[w])
    return oldest <= due
