"""How long blocks took: a histogram of fixed size, so that a run of any length needs the same memory."""

from __future__ import annotations

BINS = 20_000  # of one microsecond; what takes longer is counted in the last, and remembered as the worst


class Latency:
    """Counts of processing times in microseconds."""

    def __init__(self) -> None:
        self._bins = [0] * (BINS + 1)
        self.blocks, self.worst_ns, self.total_ns = 0, 0, 0

    def add(self, nanoseconds: int) -> None:
        """Count one block."""
        self.blocks += 1
        self.total_ns += nanoseconds
        if nanoseconds > self.worst_ns:
            self.worst_ns = nanoseconds
        microseconds = nanoseconds // 1000
        self._bins[microseconds if microseconds < BINS else BINS] += 1

    def quantile_us(self, share: float) -> float:
        """Return the time in microseconds (rounded up) that a `share` of all blocks did not exceed; 0 where there are none."""
        wanted, seen = share * self.blocks, 0
        for microseconds, count in enumerate(self._bins[:BINS]):
            seen += count
            if count and seen >= wanted:
                return float(microseconds + 1)
        return self.worst_ns / 1000

    @property
    def worst_us(self) -> float:
        """The longest, in microseconds."""
        return self.worst_ns / 1000
