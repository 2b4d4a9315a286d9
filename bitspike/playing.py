"""The loop of every replay: blocks through the chain, paced or not, with a checkpoint now and then and after Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from bitspike.latency import Latency
from bitspike.session import Session
from pipeline.errors import BitspikeError

SPEEDS = ("max", "1x")
CHECKPOINT_EVERY_NS = 10_000_000_000
PROGRESS_EVERY_NS = 100_000_000


class Playable(Protocol):
    """A recording, of samples or of events, as far as playing it goes."""

    def blocks(self, size: int, start: int, stop: int, /) -> Iterator[Any]:
        """Yield ``[start, stop)`` in blocks of `size` frames or microseconds."""
        ...


def known(name: str, given: str, choices: tuple[str, ...]) -> None:
    """Refuse an option that is none of the choices."""
    if given not in choices:
        raise BitspikeError(f"{name}: {given!r}; choose one of {', '.join(choices)}")


def play(
    recording: Playable,
    session: Session[Any],
    size: int,
    rate_hz: float,
    paced: bool,
    progress: Callable[[float, float], None] | None,
) -> dict[str, Any]:
    """Run the rest of a recording through a session's chain, and what the chain holds back.

    Parameters
    ----------
    recording : Playable
        What to play, from the session's position on.
    session : Session
        The growing run.
    size : int
        Length of the blocks, in frames or microseconds.
    rate_hz : float
        Frames per second; a million for events.
    paced : bool
        Whether each block waits until it would have arrived.
    progress : callable, optional
        Called with the seconds done and in all, ten times a second at most.

    Returns
    -------
    dict of str to Any
        The timings, for the manifest.

    Raises
    ------
    KeyboardInterrupt
        It was interrupted; a checkpoint is there to continue from.
    """
    clock, latency, late = time.perf_counter_ns, Latency(), 0
    process, take = session.chain.process, session.keeper.take
    first = session.position
    began = reported = saved = clock()
    with _interrupts() as interrupted:
        for block in recording.blocks(size, first, session.stop):
            if paced:
                due = began + round((block.stop - first) / rate_hz * 1e9)
                late += _wait_until(due, round(size / rate_hz * 1e9))
            before = clock()
            outputs = process(block)
            now = clock()
            latency.add(now - before)
            take(outputs)
            session.lost += block.start - session.position
            session.position = block.stop
            if progress is not None and now - reported > PROGRESS_EVERY_NS:
                reported = now
                progress((block.stop - session.start) / rate_hz, (session.stop - session.start) / rate_hz)
            if now - saved > CHECKPOINT_EVERY_NS or interrupted():
                saved = now
                session.checkpoint()
                if interrupted():
                    done = f"{(block.stop - session.start) / rate_hz:.1f} of {(session.stop - session.start) / rate_hz:.1f} s"
                    raise KeyboardInterrupt(f"stopped after {done}; the same command with --resume continues")
    take(session.chain.finish())
    seconds = (clock() - began) / 1e9
    return {
        "seconds": seconds,
        "times_real_time": (session.stop - first) / rate_hz / seconds,
        "blocks": latency.blocks,
        "processing_s": latency.total_ns / 1e9,
        "block_us": {"median": latency.quantile_us(0.5), "p99": latency.quantile_us(0.99), "worst": latency.worst_us},
        "late_blocks": late,
    }


def _wait_until(due_ns: int, block_ns: int) -> bool:
    """Sleep until a block has arrived; return whether it is being processed more than a block's length too late."""
    left = due_ns - time.perf_counter_ns()
    if left > 0:
        time.sleep(left / 1e9)
    return left < -block_ns


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether an interrupt came, so that the block in hand is finished; a second one acts at once."""
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def note(*_: Any) -> None:
        came.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield came.is_set
    finally:
        signal.signal(signal.SIGINT, before)
