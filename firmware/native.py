"""The C library on this machine, called through ctypes, as an engine for stages."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from firmware.twins import require_contiguous, require_room, require_twin
from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError
from pipeline.stage import Stage

LIBRARY = "bitspike_native.dll" if sys.platform == "win32" else "bitspike_native.so"


class Native:
    """Runs stages as compiled C.

    Parameters
    ----------
    library : pathlib.Path, optional
        Shared library of the firmware; the installed one unless told.
    """

    name = "native"

    def __init__(self, library: Path | None = None) -> None:
        self._path = library

    def capacity(self, needed: Capacity) -> Capacity:
        """Return what the library was compiled for, or refuse what is needed beyond."""
        return require_room(self.name, needed, _compiled_for(self._path))

    def bind(self, stage: Stage) -> Callable[..., int]:
        """Return ``step(*arrays, *sizes)``: ``bs_<stage>_process`` on the stage's tables and state.

        Raises
        ------
        BitspikeError
            The stage has no C twin.
        """
        require_twin(stage.name, self.name)
        function = _load(self._path)[f"bs_{stage.name}_process"]  # one of our own: its types are not shared
        function.restype = ctypes.c_int32
        bound = _word(stage.tables), _word(stage.state)

        def step(*arguments: Any) -> int:
            return int(function(*bound, *map(_word, arguments)))

        step.__dict__["held"] = stage.tables, stage.state  # for as long as there is someone who could call
        return step

    def call(self, function: str, *arguments: np.ndarray | int) -> int:
        """Call any C function that returns int32; arrays go by address, integers as uint32."""
        called = _load(self._path)[function]
        called.restype = ctypes.c_int32
        return int(called(*map(_word, arguments)))


@functools.cache
def _load(path: Path | None) -> ctypes.CDLL:
    path = path or Path(str(resources.files("firmware").joinpath(LIBRARY)))
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise BitspikeError(f"{path}: the native library cannot be loaded ({error}); install bitspike again") from None


@functools.cache
def _compiled_for(path: Path | None) -> Capacity:
    limits = (ctypes.c_uint32 * len(fields(Capacity)))()
    if _load(path).bs_capacity(limits, len(limits)) != len(limits):
        raise BitspikeError(f"{path or LIBRARY}: the native library is of another version; install bitspike again")
    return Capacity(*limits)


def _word(argument: Any) -> ctypes.c_void_p | ctypes.c_uint32:
    if isinstance(argument, np.ndarray):
        require_contiguous(argument)
        return ctypes.c_void_p(argument.ctypes.data)
    return ctypes.c_uint32(int(argument))
