"""Timing on one core: warm-up, then rounds in which every contender has its turn."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

CORES = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else [0]


def pin(*cores: int) -> None:
    """Keep this process on one core, or on some, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores or CORES[-1:])


def interleaved(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each contender.

    Each is called once without counting; then all take turns, in an order that moves on by one from round to round.
    """
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for run in contenders.values():
        run()
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            began = time.perf_counter()
            contenders[name]()
            seconds[name].append(time.perf_counter() - began)
    return {name: float(np.median(taken)) for name, taken in seconds.items()}


def each(run: Callable[[Any], Any], blocks: Iterable[Any]) -> np.ndarray:
    """Return the microseconds that `run` takes for each block, float64."""
    clock, taken = time.perf_counter_ns, []
    for block in blocks:
        began = clock()
        run(block)
        taken.append(clock() - began)
    return np.array(taken) / 1000
