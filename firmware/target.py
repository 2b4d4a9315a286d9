"""The C library on an emulated core, as an engine for stages: Cortex-M4 or RISC-V RV32IMC."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from firmware.build import CORES, ROOT, image, room_for
from firmware.machine import Counts, Machine
from firmware.twins import require_room, require_twin
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.stage import Stage


class Target:
    """Runs stages on an emulated core, on copies of the same bytes of tables and state.

    Parameters
    ----------
    name : str
        ``"cortex-m4"`` or ``"rv32imc"``.
    room : Capacity or int
        What the library is compiled for; a number is that of the channels, with the usual room for all else.
    toolchain : str
        ``"zig"``, or ``"gcc"`` for the core's cross gcc on the path.
    optimise : str
        ``-O0`` to ``-O3`` or ``-Os``.
    root : pathlib.Path
        The firmware folder.

    Raises
    ------
    BitspikeError
        There is no such core.
    """

    def __init__(
        self, name: str, room: Capacity | int = 128, toolchain: str = "zig", optimise: str = "-O2", root: Path = ROOT
    ) -> None:
        if name not in CORES:
            raise BitspikeError(f"no core is named {name!r}; there are: {', '.join(CORES)}")
        self.name = name
        self.room = room_for(room)
        self._build = (name, self.room, toolchain, optimise, root)

    @property
    def machine(self) -> Machine:
        """The core, with the image in its memory; engines of the same build share one."""
        return _machine(*self._build)

    @property
    def image(self) -> Path:
        """The library's ELF image."""
        return image(*self._build)

    def capacity(self, needed: Capacity) -> Capacity:
        """Return what the library was compiled for, or refuse what is needed beyond."""
        return require_room(self.name, needed, self.room)

    def bind(self, stage: Stage) -> Callable[..., int]:
        """Return ``step(*arrays, *sizes)``: ``bs_<stage>_process`` on the stage's tables and state.

        Raises
        ------
        BitspikeError
            The stage has no C twin.
        MissingExtraError
            The emulator or the compiler is not installed.
        """
        require_twin(stage.name, self.name)
        machine, function = self.machine, f"bs_{stage.name}_process"
        tables, state = stage.tables.view(), stage.state
        tables.flags.writeable = False

        def step(*arguments: Any) -> int:
            return machine.call(function, tables, state, *arguments)

        return step

    def call(self, function: str, *arguments: np.ndarray | int) -> int:
        """Call any C function that returns int32; see `Machine.call`."""
        return self.machine.call(function, *arguments)

    def counting(self) -> AbstractContextManager[Counts]:
        """Count the instructions that stages bound to this engine execute inside ``with``; see `Machine.counting`."""
        return self.machine.counting()


@functools.cache
def _machine(name: str, room: Capacity, toolchain: str, optimise: str, root: Path) -> Machine:
    return Machine(name, image(name, room, toolchain, optimise, root))
