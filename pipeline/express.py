"""The stages of a chain in one call: their kernels, one after the other, without Python in between.

For a block of ten milliseconds, Python would take as long between the kernels as they take themselves. A stage says in `Stage.call`
what its kernel takes of a block, by these names:

    x, flags                            samples of its first input that has samples, and the flags of their frames
    at, channel, amplitude              spikes of its first input that has spikes, by their frame in the block
    y, y_flags                          the samples that it gives (without y: those it takes), and the flags of their frames
    out_at, out_channel, out_amplitude, out_unit     the spikes that it gives
    phase                               the block's start modulo `Stage.factor`
    frames, channels, spikes, room      how many there are: frames, channels, spikes taken, and spikes that can be given

The kernel returns how many spikes it gives, or whether it flags any frame; a negative number refuses the block. `Express` lays out
memory for one block and turns the names into addresses; the outputs become arrays when somebody asks for them. One stage after
the other, `Stage.process` gives the same to the bit.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numba import carray

from pipeline.binding import NUMBER, Kind, Step, address_of, call, plain, pointer, size_in_words, words_of
from pipeline.blocks import Samples, Spikes
from pipeline.fixed import kernel
from pipeline.stage import INT16, Stage

INPUT = "input"  # the label of what a chain is given
SAMPLES, FLAGS, COLUMN = ("int16", 2), ("uint8", 1), ("int32", 1)
TAKEN, GIVEN = ("at", "channel", "amplitude"), ("out_at", "out_channel", "out_amplitude", "out_unit")
KINDS: dict[str, Kind] = {"x": SAMPLES, "y": SAMPLES, "flags": FLAGS, "y_flags": FLAGS}
KINDS |= dict.fromkeys(TAKEN + GIVEN, COLUMN) | dict.fromkeys(("phase", "frames", "channels", "spikes", "room"), NUMBER)
WHEN = "sample"  # not a stage's but the chain's: the spikes that it gives, by their frame in the stream
X, INPUT_FLAGS, FRAMES, START, RESULTS = range(5)  # what changes from block to block: variables, the results of the steps last
FIXED, PLACED, CHANGING = range(3)  # what a word is: a value, a byte of the block's memory, a variable (modulo a value)
MOST_SAMPLES = 1 << 18  # of a block; longer ones gain nothing
LINE = 64  # bytes
SPARE = 2  # blocks' memory that is kept for the next

Order = list[tuple[str, Stage, tuple[str, ...]]]
Word = tuple[int, int, int]  # what it is, its value, byte or variable, and a modulus or 0
_words = address_of(("int64", 1))
_RUN = (*[("int64", 2)] * 2, *[("int64", 1)] * 2, *[NUMBER] * 4)  # what `run` takes
_GIVEN = struct.Struct("4q")  # what `run` is given anew for every block
_AT = size_in_words(_RUN[:-4]) * 8  # where that lies among its words
DATA = object.__basicsize__  # of an array, where the address of its data is found: after its head, as NumPy's C interface has it


@kernel
def run(steps, changes, words, variables, x, flags, frames, start):  # type: ignore[no-untyped-def]
    """Run all steps on one block; return the number of the step that refuses it, or -1.

    steps: int64 [n, 5], the addresses of a kernel and of its fields' addresses, its first word, and the words that hold the
    addresses of its spikes' frames in the block, int32, and in the stream, int64, or -1.  changes: int64 [m, 4], in the order of
    the steps: step, word, variable, and modulus or 0.  words, variables: int64.  x, flags: where the addresses of the block's
    samples, int16 [frames, channels], and of their flags, uint8 [frames or more], are found.
    """
    variables[X], variables[INPUT_FLAGS] = carray(pointer(x), (1,), np.int64)[0], carray(pointer(flags), (1,), np.int64)[0]
    variables[FRAMES], variables[START] = frames, start
    k = 0
    for s in range(len(steps)):
        while k < len(changes) and changes[k, 0] == s:
            value, modulus = variables[changes[k, 2]], changes[k, 3]
            words[changes[k, 1]] = value if modulus == 0 else value % modulus
            k += 1
        result = call(steps[s, 0], steps[s, 1], _words(words) + 8 * steps[s, 2])
        variables[RESULTS + s] = result
        if result < 0:
            return s
        if steps[s, 3] >= 0:
            at = carray(pointer(words[steps[s, 3]]), (result,), np.int32)
            when = carray(pointer(words[steps[s, 4]]), (result,), np.int64)
            for i in range(result):
                when[i] = start + at[i]
    return -1


class Place:
    """Where the output of a stage is found.

    Attributes
    ----------
    label : str
        Of the output.
    step : int
        Number of the stage; -1 is the chain's input.
    channels, rows, room : int
        Channels and frames of samples, or spikes, that there is room for.
    factor : int
        Input frames of one frame.
    begin : dict
        By the name of what the stage gives, the byte of the block's memory where it begins.
    data, flags : Place
        Whose samples these are, and whose flags they have.
    """

    def __init__(self, label: str, step: int, running: Stage | None = None, samples: Place | None = None, frames: int = 0) -> None:
        self.label, self.step, self.room = label, step, 0
        given = running.call if running is not None else ()
        self.channels: int = running.output.channels if running is not None else 0
        self.factor = running.factor if running is not None else 1
        self.rows = -(-frames // self.factor) + 1
        self.begin: dict[str, int] = {}
        self.data: Place = self if samples is None or "y" in given else samples.data
        self.flags: Place = self if samples is None or "y_flags" in given else samples.flags

    def word(self, name: str, variable: int = X) -> Word:
        """Return the address of an array; of the input's, which is not in the block's memory, the variable that holds it."""
        return (PLACED, self.begin[name], 0) if self.step >= 0 else (CHANGING, variable, 0)

    def arrays(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Return where the stage's arrays begin, and their shapes; the columns of spikes are one array."""
        shapes: dict[str, tuple[int, ...]] = {"y": (self.rows, self.channels), "y_flags": (self.rows,), WHEN: (self.room,)}
        found = {name: (begin, shapes[name]) for name, begin in self.begin.items() if name in shapes}
        columns = [begin for name, begin in self.begin.items() if name in GIVEN]
        return found | ({"out": (columns[0], (len(columns), self.room))} if columns else {})


class Express:
    """The stages of a chain that can run in one call.

    Parameters
    ----------
    order : list
        Label, stage and sources of each stage of the chain.
    channels : int
        Of the input.
    frames : int
        The longest block that there shall be memory for.

    Attributes
    ----------
    frames : int
        The longest block that there is memory for.
    rest : list
        Those of `order` that have to run by themselves, afterwards.
    """

    def __init__(self, order: Order, channels: int, frames: int) -> None:
        self.frames, self._channels, self._strides = max(1, min(frames, MOST_SAMPLES // channels)), channels, (2 * channels, 2)
        self.rest: Order = []
        self.places = {INPUT: Place(INPUT, -1)}
        self.bytes = 0
        self._running: list[Stage] = []
        steps: list[tuple[int, ...]] = []
        self.words: list[Word] = []
        for label, running, sources in order:
            if not _able(running) or not all(source in self.places and self.places[source].factor == 1 for source in sources):
                self.rest.append((label, running, sources))
                continue
            given = dict(zip(running.takes, (self.places[source] for source in sources), strict=True))
            place = self.places[label] = self._place(label, running, given.get(Samples), given.get(Spikes))
            entry, first_word = running.step.__dict__["held"].entry(tuple(KINDS[name] for name in running.call)), len(self.words)
            self._running.append(running)
            for name in running.call:
                self.words += self._words_of(name, running, place, given.get(Samples), given.get(Spikes))
            frames_of = (-1, -1)
            if WHEN in place.begin:
                frames_of = len(self.words), len(self.words) + 1
                self.words += [place.word("out_at"), place.word(WHEN)]
            steps.append((*entry, first_word, *frames_of))
        first = [step[2] for step in steps]
        changes = [(bisect_right(first, w) - 1, w, *word[1:]) for w, word in enumerate(self.words) if word[0] == CHANGING]
        self.steps, self.changes = np.array(steps, np.int64).reshape(-1, 5), np.array(changes, np.int64).reshape(-1, 4)
        self._moody = [running for running in self._running if type(running).able is not Stage.able]
        self._calm = np.zeros(self.frames, np.uint8)
        self._run = plain(run, _RUN)
        self.spare: list[Memory] = []

    def _place(self, label: str, running: Stage, samples: Place | None, spikes: Place | None) -> Place:
        """Give a stage's output its place in the block's memory."""
        place = Place(label, len(self._running), running, samples, self.frames)
        place.room = running.room(self.frames, spikes.room if spikes else 0)
        place.room = -(-place.room // LINE) * LINE  # so that one column follows the other
        sizes = {"y": 2 * place.rows * place.channels, "y_flags": place.rows} | dict.fromkeys(GIVEN, 4 * place.room)
        sizes[WHEN] = 8 * place.room
        for name, size in sizes.items():
            if name in running.call or (name == WHEN and "out_at" in running.call):
                place.begin[name] = self.bytes
                self.bytes += -(-size // LINE) * LINE
        return place

    def _words_of(self, name: str, running: Stage, place: Place, samples: Place | None, spikes: Place | None) -> list[Word]:
        """Return the words of one argument of a stage that takes these samples and spikes."""
        frames, channels = (CHANGING, FRAMES, 0), running.signal.channels
        if samples is not None and name in ("x", "flags"):
            if name == "x":
                return [samples.data.word("y"), frames, (FIXED, channels, 0)]
            return [samples.flags.word("y_flags", INPUT_FLAGS), frames]
        if spikes is not None and name in (*TAKEN, "spikes"):
            count = (CHANGING, RESULTS + spikes.step, 0)
            return [count] if name == "spikes" else [spikes.word(f"out_{name}"), count]
        extents: dict[str, tuple[int, ...]] = {"y": (place.rows, place.channels), "y_flags": (place.rows,)}
        extents |= dict.fromkeys(GIVEN, (place.room,))
        if name in extents:
            return [place.word(name), *[(FIXED, extent, 0) for extent in extents[name]]]
        numbers = {"phase": (CHANGING, START, place.factor), "frames": frames}
        return [({"channels": (FIXED, channels, 0), "room": (FIXED, place.room, 0)} | numbers)[name]]

    def takes(self, block: Samples) -> bool:
        """Tell whether a block can go this way: it follows on the one before, is as samples should be, and no stage is learning."""
        if not self._running or self._running[0].position not in (block.start, None) or not self._fits(block):
            return False
        for running in self._moody:  # noqa: SIM110, as a generator takes longer than the rest
            if not running.able():
                return False
        return True

    def skip(self, block: Samples) -> None:
        """Tell the stages of the gap before a block, if there is one, and the block is as samples should be."""
        if self._fits(block):
            for running in self._running:
                running.follow(block.start)

    def _fits(self, block: Samples) -> bool:
        data, flags = block.data, block.flags
        if data.strides != self._strides or data.dtype is not INT16:
            return False
        frames, channels = data.shape
        return (
            channels == self._channels
            and 0 < frames <= self.frames
            and (flags is None or (flags.dtype == np.uint8 and flags.shape == (frames,)))
        )

    def run(self, block: Samples) -> Outputs:
        """Run all stages on a block that this way `takes`."""
        memory = self.spare.pop() if self.spare else Memory(self)
        start, data, flags = block.start, block.data, block.flags
        flags = self._calm if flags is None else np.ascontiguousarray(flags)
        frames = len(data)
        stop = start + frames
        _GIVEN.pack_into(memory.given, _AT, id(data) + DATA, id(flags) + DATA, frames, start)
        refused = self._run(None, memory.address)
        for running in self._running:
            running.position = stop
        if refused >= 0:
            raise self._running[refused].refused(int(memory.variables[RESULTS + refused]))
        return Outputs(self, memory, block, stop)


class Memory:
    """What the stages write for one block, and the words that tell them where.

    Attributes
    ----------
    variables : numpy.ndarray
        int64: what changes from block to block, and what the steps returned.
    given : memoryview
        The words that `run` is called with, int64, at `address`.
    arrays : dict
        By label and name ("y", "y_flags", "out" for all columns of the spikes, `WHEN`), the arrays that a stage writes.
    """

    def __init__(self, express: Express) -> None:
        self._bytes = np.empty(express.bytes + LINE, np.uint8)
        skipped = -self._bytes.ctypes.data % LINE
        origin = self._bytes.ctypes.data + skipped
        self._words = np.array([value + origin * (what == PLACED) for what, value, _ in express.words], np.int64)
        self.variables = np.zeros(RESULTS + len(express.places), np.int64)
        given = np.array(words_of([express.steps, express.changes, self._words, self.variables, 0, 0, 0, 0]), np.int64)
        self.given, self.address = given.data, given.ctypes.data
        self.arrays = {}
        for label, place in express.places.items():
            for name, (begin, shape) in place.arrays().items():
                kind = np.dtype(np.int64 if name == WHEN else KINDS.get(name, COLUMN)[0])
                size = math.prod(shape) * kind.itemsize
                self.arrays[label, name] = self._bytes[skipped + begin :][:size].view(kind).reshape(shape)


class Outputs(Mapping[str, Any]):
    """The outputs of all stages for one block, by label; each is made when it is first asked for."""

    __slots__ = ("_express", "_made", "_memory", "_start", "_stop")

    def __init__(self, express: Express, memory: Memory, block: Samples, stop: int) -> None:
        self._express, self._memory, self._start, self._stop = express, memory, block.start, stop
        self._made: dict[str, Any] = {INPUT: block}

    def __del__(self) -> None:
        if len(self._express.spare) < SPARE:
            self._express.spare.append(self._memory)

    def __iter__(self) -> Iterator[str]:
        return iter([*self._express.places, *[label for label in self._made if label not in self._express.places]])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, label: str) -> Any:
        made = self._made.get(label)
        if made is None:
            place = self._express.places[label]
            made = self._made[label] = self._spikes(place) if "out_at" in place.begin else self._samples(place)
        return made

    def __setitem__(self, label: str, block: Any) -> None:
        self._made[label] = block

    def _samples(self, place: Place) -> Samples:
        """Copy samples; flags that are all zero are none."""
        arrays, given, factor = self._memory.arrays, self._made[INPUT], place.factor
        first = -(-self._start // factor)
        rows = -(-self._stop // factor) - first
        flags = given.flags
        if place.flags.step >= 0:
            flagged = self._memory.variables[RESULTS + place.flags.step]
            flags = arrays[place.flags.label, "y_flags"][:rows].copy() if flagged else None
        return Samples(first, given.data if place.data.step < 0 else arrays[place.data.label, "y"][:rows].copy(), flags)

    def _spikes(self, place: Place) -> Spikes:
        count = int(self._memory.variables[RESULTS + place.step])
        if count == 0:
            return Spikes(self._start, self._stop)
        arrays = self._memory.arrays
        found = arrays[place.label, "out"][1:, :count].copy()  # without the frames in the block
        columns = [found[row] for row in range(len(found))]
        return Spikes(self._start, self._stop, arrays[place.label, WHEN][:count].copy(), *columns)


def _able(running: Stage) -> bool:
    """Tell whether a stage's kernel takes nothing but what has a name here, and runs on this machine."""
    known = bool(running.call) and KINDS.keys() >= set(running.call)
    return known and isinstance(getattr(running.step, "__dict__", {}).get("held"), Step)
