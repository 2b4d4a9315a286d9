"""Order statistics without sorting, by bisection, which needs no room. `firmware/src/ranking.c` is the same text in C."""

from __future__ import annotations

from pipeline.fixed import kernel


@kernel
def ranked(values, rank):  # type: ignore[no-untyped-def]
    """Return the value that would stand at place `rank` if `values`, int64, were sorted: bisection, which needs no room."""
    low = high = values[0]
    for i in range(1, len(values)):
        low, high = min(low, values[i]), max(high, values[i])
    while low < high:
        middle = low + ((high - low) >> 1)
        below = 0
        for i in range(len(values)):
            below += values[i] <= middle
        if below > rank:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def place(values, rank):  # type: ignore[no-untyped-def]
    """Return which of `values` would stand at place `rank` if they were sorted and equals kept their order."""
    value = ranked(values, rank)
    left = rank
    for i in range(len(values)):
        left -= values[i] < value
    chosen = 0
    for i in range(len(values)):
        if values[i] == value:
            if left == 0:
                chosen = i
            left -= 1
    return chosen
