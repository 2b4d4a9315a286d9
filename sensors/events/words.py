"""Files of equal words after a header, decoded chunk by chunk by a kernel with a small state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.layout import blank, names, variables
from sensors.events.source import DAMAGE, IGNORED, Columns, Piece

CHUNK_BYTES = 1 << 17


@dataclass(frozen=True)
class WordReader:
    """Reads words and has them decoded; `after` of its pieces is (byte offset, state).

    Attributes
    ----------
    path : pathlib.Path
        The file.
    skip : int
        Length of its header.
    word : numpy.dtype
        Of the words.
    kernel : callable
        ``kernel(*tables, *state, words, count, final, t, x, y, p, room, taken)``, as `sensors.events.evt3.decode_evt3`.
    layout : numpy.dtype
        Of its state.
    tables : tuple
        What the kernel takes before the state.
    most : int
        The most events that one word is.
    origin : int
        Time that the file's times count from, in microseconds.
    prepare : callable, optional
        Turns the words as read into what the kernel takes, one for one.
    """

    path: Path
    skip: int
    word: np.dtype
    kernel: Callable[..., int]
    layout: np.dtype
    tables: tuple[Any, ...]
    most: int = 1
    origin: int = 0
    prepare: Callable[[np.ndarray], np.ndarray] | None = None

    def pieces(self, after: Any = None) -> Iterator[Piece]:
        """Yield the recording, from where an earlier piece ended."""
        at, state = (self.skip, blank(self.layout)) if after is None else (after[0], after[1].copy())
        size, taken, left = self.word.itemsize, np.zeros(1, np.int64), 0
        end = self.path.stat().st_size
        length = max(end - self.skip, 0) // size * size + self.skip
        cut, fields = max(end - length, 0), variables(state)
        counted = [(name, state[name]) for name in names(self.layout) if name in DAMAGE or name in IGNORED]
        buffer = np.empty(CHUNK_BYTES // size * size, np.uint8)  # columns are new in every piece, and this is not
        words = np.empty(0, self.word)
        with self.path.open("rb", buffering=0) as file:
            while at < length:
                if left == 0:
                    file.seek(at)
                    left = (file.readinto(buffer[: length - at].data) or 0) // size
                    if left == 0:  # the file became shorter meanwhile
                        return
                    words = np.frombuffer(buffer, self.word, left)
                    words = words if self.prepare is None else self.prepare(words)
                count, ends = left, at + left * size >= length
                room = max(count, 2 * self.most)
                columns = Columns(np.empty(room, np.int64), np.empty(room, "u2"), np.empty(room, "u2"), np.empty(room, "u1"))
                n = self.kernel(*self.tables, *fields, words[len(words) - left :], count, int(ends), *columns, room, taken)
                done = int(taken[0])
                at, left = at + done * size, left - done
                if left and n + self.most <= room:  # it waits for words that are not in this chunk,
                    if ends:  # or in the file: its last event is not whole
                        at, cut = length, cut + left * size
                    left = 0
                if self.origin:
                    columns.t[:n] += self.origin
                counts = {**{name: int(value) for name, value in counted}, "cut": cut if at >= length else 0}
                yield Piece(Columns(*(c[:n] for c in columns)), (at, state.copy()), counts)
