"""The Stage contract: parameters, tables, state, process.

A stage class names its parameters (a frozen dataclass in physical units), derives integer tables from them (`design`), declares
the fixed layout of its tables and state, and processes blocks. It runs on an engine: the host's compiled kernel, or the same step
in C on this machine or on an emulated core. All engines share the same bytes of tables and state.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Protocol

import numpy as np

from pipeline.binding import Step
from pipeline.blocks import EVENT_COLUMNS, Block, EventFormat, Events, Format, Particles, Samples, Spikes
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.layout import blank, relaid

REGISTRY: dict[str, type[Stage]] = {}
INT16, INT64, UINT8, UINT16 = map(np.dtype, (np.int16, np.int64, np.uint8, np.uint16))
EVENT_TYPES = dict(zip(EVENT_COLUMNS, (INT64, UINT16, UINT16, UINT8), strict=True))


@dataclass(frozen=True)
class Parameters:
    """Base of all stage parameters: physical units, checked when made."""

    def require(self, name: str, good: bool, cure: str) -> None:
        """Refuse a parameter: `cure` says what is allowed."""
        if not good:
            raise BitspikeError(f"{name} = {getattr(self, name)!r}: {cure}")


@dataclass(frozen=True)
class Design:
    """What parameters become.

    Attributes
    ----------
    tables : numpy.ndarray
        The struct of integers that is all the firmware needs.
    output : SampleFormat or EventFormat
        What the stage's output means (for spikes: what its waveforms mean; for particles: on what sensor they were seen).
    proofs : dict
        What `design` proved or measured about the tables, for the report: name to number or sentence.
    """

    tables: np.ndarray
    output: Any
    proofs: dict[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """Where the integer step of a stage runs."""

    name: str

    def capacity(self, needed: Capacity) -> Capacity:
        """Return what tables and state are laid out for, or refuse what is needed."""

    def bind(self, stage: Stage) -> Callable[..., int]:
        """Return ``step(*arrays, *sizes)`` on this stage's tables and state."""


class Host:
    """This machine's Numba kernels.

    A kernel takes the fields of its tables in the layout's order (scalars by value), those of its state (scalars as arrays of
    one), then what `advance` passes to ``self.step``: input arrays, output arrays, sizes, by position; it returns an int. Inputs
    may be read-only. The fields' addresses are taken once, in `bind`: tables and state are changed in place, never replaced.
    """

    name = "host"

    def capacity(self, needed: Capacity) -> Capacity:
        """Return `needed`: the host lays out exactly that."""
        return needed

    def bind(self, stage: Stage) -> Callable[..., int]:
        """Return the stage's kernel with its tables and state filled in; with the first call it becomes the stage's quick step."""
        step = Step(stage.kernel, stage.tables, stage.state)

        def first(*arguments: Any) -> int:
            stage.step = step.quick(*arguments)
            return stage.step(*arguments)

        first.__dict__["held"] = step
        return first


HOST = Host()


class Stage(ABC):
    """One step of a chain, running.

    Parameters
    ----------
    parameters : Parameters
        In physical units.
    signal : SampleFormat or EventFormat
        What the samples or events that the stage sees mean.
    tables : numpy.ndarray, optional
        Ready tables (fitted or loaded) instead of those that `design` derives.
    engine : Engine, optional
        Where the step runs; this machine's Numba kernel unless told.
    """

    name: ClassVar[str] = ""
    Parameters: ClassVar[type[Parameters]]
    takes: ClassVar[tuple[type, ...]] = (Samples,)
    gives: ClassVar[type] = Samples
    needs: ClassVar[tuple[str, ...]] = ()  # columns that the spikes it takes must have, besides sample, channel and amplitude
    kernel: ClassVar[Callable[..., int]]
    latency: int = 0  # frames (of events: microseconds) by which the output may lag behind the input
    keeps_on_gap: ClassVar[tuple[str, ...]] = ()  # state fields that survive a gap: what was learned, not what was just seen
    call: ClassVar[tuple[str, ...]] = ()  # what the kernel takes of a block, by the names of `express` and `firmware.glue`
    features_given: int = 0  # of each spike that it gives

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.name:
            other = REGISTRY.get(cls.name)
            if other is not None and other.__qualname__ != cls.__qualname__:
                raise TypeError(f"two stages are named {cls.name!r}")
            REGISTRY[cls.name] = cls

    def __init__(self, parameters: Any, signal: Any, tables: np.ndarray | None = None, engine: Engine = HOST) -> None:
        self.parameters, self.signal, self.engine = parameters, signal, engine
        try:
            self.capacity = engine.capacity(self.needed(parameters, signal))
            designed = self.design(parameters, signal, self.capacity)
        except BitspikeError as error:
            raise BitspikeError(f"stage {self.name}: {error}") from None
        self.output, self.proofs = designed.output, designed.proofs
        self.tables = designed.tables if tables is None else self._accept(tables, designed.tables)
        self.state = blank(self.state_layout(self.capacity))
        self.position: int | None = None
        if isinstance(signal, EventFormat) != (self.takes[0] in (Events, Particles)):
            raise BitspikeError(f"stage {self.name}: takes {self.takes[0].__name__}, which the sensor does not give")
        self._channels = 0 if isinstance(signal, EventFormat) else signal.channels
        self._strides = (2 * self._channels, 2) if self.takes == (Samples,) else None  # of a contiguous block
        self._only_events = self.takes == (Events,)
        self.step = engine.bind(self)

    @classmethod
    def needed(cls, parameters: Any, signal: Any) -> Capacity:
        """Return the capacity that the stage must be laid out for."""
        if isinstance(signal, EventFormat):
            return Capacity(columns=signal.width, rows=signal.height)
        return Capacity(channels=signal.channels)

    @classmethod
    @abstractmethod
    def tables_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of the tables for a capacity."""

    @classmethod
    @abstractmethod
    def state_layout(cls, capacity: Capacity) -> np.dtype:
        """Return the layout of the state for a capacity; all zero is the state to start from."""

    @classmethod
    @abstractmethod
    def design(cls, parameters: Any, signal: Any, capacity: Capacity) -> Design:
        """Derive the tables, or refuse with the reason."""

    @abstractmethod
    def advance(self, *blocks: Any) -> Any:
        """Process blocks that follow without a gap on what came before."""

    @property
    def factor(self) -> int:
        """Input frames of one output frame."""
        return 1

    def able(self) -> bool:
        """Return whether the next block needs nothing but the kernel, called as `call` says."""
        return True

    def room(self, frames: int, spikes: int) -> int:
        """Return the most spikes that the kernel can give for a block of so many frames and spikes at most."""
        return 0

    def refused(self, code: int) -> BitspikeError:
        """Return why the kernel refused a block: the meaning of what it returned, a negative number."""
        return BitspikeError(f"stage {self.name}: its kernel refused a block ({code})")

    @classmethod
    def examples(cls) -> Iterator[Any]:
        """Yield the parameters that the contract checks run the stage with."""
        yield cls.Parameters()

    def process(self, *blocks: Any) -> Any:
        """Process one block of each input; a gap before it restarts what the stage remembers of the signal.

        Parameters
        ----------
        *blocks : Block
            One per entry of `takes`, all over the same stretch of the stream.

        Returns
        -------
        Block
            What became known; its stretch is that of the input.

        Raises
        ------
        BitspikeError
            A block is of the wrong kind, shape or type, or the stream goes back in time.
        """
        first = blocks[0] if blocks else None
        # the usual cases in the fewest steps, since every stage does this for every block
        if not (
            (
                type(first) is Samples
                and (data := first.data).strides == self._strides
                and data.dtype is INT16
                and data.shape[1] == self._channels
                and len(blocks) == 1
            )
            or (type(first) is Events and self._only_events and len(blocks) == 1 and _in_order(first))
        ):
            self._check(blocks)
            first = blocks[0]
        if first.start != self.position:
            self.follow(first.start)
        result = self.advance(*blocks)
        self.position = first.stop
        return result

    def follow(self, start: int) -> None:
        """Prepare for a block that begins at `start`: what lies before it and was not processed is a gap.

        Raises
        ------
        BitspikeError
            The stream goes back in time.
        """
        if self.position is not None:
            if start < self.position:
                raise BitspikeError(f"stage {self.name}: block starts at {start}, before the {self.position} already processed")
            if start > self.position:
                self.gap(start - self.position)
        self.position = start

    def responses(self, hz: np.ndarray) -> dict[str, np.ndarray]:
        """Return a filter's gain at these frequencies, by "ideal" and "quantised" where there are both; of other stages nothing."""
        return {}

    def report(self) -> dict[str, Any]:
        """Return what is proved, and where it costs time also what is measured, about the tables."""
        return dict(self.proofs)

    def gap(self, missing: int) -> None:
        """Forget the recent signal, keep what was learned: `missing` frames were lost."""
        kept = self.kept()
        self.reset()
        self.keep(kept)

    def kept(self) -> Any:
        """Return what survives a gap: the state fields named in `keeps_on_gap`."""
        return {name: self.state[name].copy() for name in self.keeps_on_gap}

    def keep(self, kept: Any) -> None:
        """Take over what survived a gap."""
        for name, value in kept.items():
            self.state[name] = value

    def reset(self) -> None:
        """Return to the state before the first block."""
        self.state[()] = blank(self.state.dtype)[()]
        self.position = None

    def checkpoint(self) -> bytes:
        """Return everything that the next block depends on, besides the tables."""
        return struct.pack("<q", -1 if self.position is None else self.position) + self.state.tobytes()

    def restore(self, checkpoint: bytes) -> None:
        """Continue from a `checkpoint`; the same bits follow as if there had been no pause."""
        if len(checkpoint) != 8 + self.state.nbytes:
            raise BitspikeError(
                f"stage {self.name}: checkpoint of {len(checkpoint)} bytes, expected {8 + self.state.nbytes}: "
                "it is of another chain"
            )
        (position,) = struct.unpack_from("<q", checkpoint)
        self.position = None if position < 0 else position
        self.state[()] = np.frombuffer(checkpoint, self.state.dtype, 1, 8)[0]

    def parameters_dict(self) -> dict[str, Any]:
        """Return the parameters as plain values."""
        return asdict(self.parameters)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "step"}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)
        self.step = self.engine.bind(self)

    def _accept(self, tables: np.ndarray, designed: np.ndarray) -> np.ndarray:
        """Return ready tables in the layout of this capacity."""
        try:
            return relaid(tables, designed)
        except ValueError as error:
            message = f"stage {self.name}: tables of another layout ({error}); train or design them again for this chain"
            raise BitspikeError(message) from None

    def _check(self, blocks: tuple[Any, ...]) -> None:
        if len(blocks) != len(self.takes):
            raise BitspikeError(f"stage {self.name}: takes {len(self.takes)} inputs, got {len(blocks)}")
        for block, kind in zip(blocks, self.takes, strict=True):
            if not isinstance(block, kind):
                raise BitspikeError(f"stage {self.name}: takes {kind.__name__}, got {type(block).__name__}")
            if isinstance(block, Samples):
                self._check_samples(block.data)
            if isinstance(block, Events):
                self._check_events(block)
            if isinstance(block, Spikes):
                for column in self.needs:
                    if len(getattr(block, column)) != len(block):
                        raise BitspikeError(f"stage {self.name}: its spikes have no {column}: add the stage that gives it before")
        stretches = {(block.start, block.stop) for block in blocks}
        if len(stretches) > 1:
            raise BitspikeError(f"stage {self.name}: inputs cover different stretches of the stream")

    def _check_events(self, block: Events) -> None:
        for name, dtype in EVENT_TYPES.items():
            column = getattr(block, name)
            if column.dtype != dtype or column.shape != block.t_us.shape or column.ndim != 1:
                raise BitspikeError(
                    f"stage {self.name}: {name} must be {np.dtype(dtype).name} [events], got {column.dtype} {column.shape}"
                )
        if len(block) and not block.start <= block.t_us[0] <= block.t_us[-1] < block.stop:
            raise BitspikeError(f"stage {self.name}: events lie outside their block [{block.start}, {block.stop}) us")

    def _check_samples(self, data: np.ndarray) -> None:
        if data.dtype != INT16 or data.ndim != 2:
            raise BitspikeError(f"stage {self.name}: samples must be int16 [frames, channels], got {data.dtype} {data.shape}")
        if data.shape[1] != self.signal.channels:
            raise BitspikeError(
                f"stage {self.name}: block has {data.shape[1]} channels, the chain was built for {self.signal.channels}"
            )
        if not data.flags.c_contiguous:
            raise BitspikeError(f"stage {self.name}: samples must be C-contiguous; pass numpy.ascontiguousarray(data)")


def _in_order(events: Events) -> bool:
    """Tell whether the columns are as they should be: one dimension, the right types, times within the block."""
    t, x, y, p = events.t_us, events.x, events.y, events.p
    return (
        t.dtype is INT64
        and x.dtype is UINT16
        and y.dtype is UINT16
        and p.dtype is UINT8
        and t.ndim == 1
        and t.shape == x.shape == y.shape == p.shape
        and (not len(t) or events.start <= t.item(0) <= t.item(-1) < events.stop)
    )


def stage(name: str) -> type[Stage]:
    """Return the stage class of that name.

    Raises
    ------
    BitspikeError
        There is none; the message lists those there are.
    """
    if name not in REGISTRY:
        raise BitspikeError(f"no stage is named {name!r}; there are: {', '.join(sorted(REGISTRY))}")
    return REGISTRY[name]


def make_parameters(cls: type[Stage], values: dict[str, Any]) -> Any:
    """Make a stage's parameters from plain values (a chain file), refusing unknown names and wrong types."""
    known = {f.name: f for f in fields(cls.Parameters)}
    for key, value in values.items():
        if key not in known:
            raise BitspikeError(f"stage {cls.name}: no parameter {key!r}; it has: {', '.join(known) or 'none'}")
        default = known[key].default
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(default, bool) != isinstance(value, bool) and isinstance(default, bool):
            raise BitspikeError(f"stage {cls.name}: {key} = {value!r} must be true or false")
        if isinstance(default, int | float) and not isinstance(default, bool) and not number:
            raise BitspikeError(f"stage {cls.name}: {key} = {value!r} must be a number")
        if isinstance(default, int) and not isinstance(default, bool) and number and value != int(value):
            raise BitspikeError(f"stage {cls.name}: {key} = {value!r} must be a whole number")
        if isinstance(default, str) and not isinstance(value, str):
            raise BitspikeError(f"stage {cls.name}: {key} = {value!r} must be text")
    try:
        return cls.Parameters(**values)
    except BitspikeError as error:
        raise BitspikeError(f"stage {cls.name}: {error}") from None


__all__ = ["HOST", "REGISTRY", "Block", "Design", "Engine", "Format", "Host", "Parameters", "Stage", "make_parameters", "stage"]
