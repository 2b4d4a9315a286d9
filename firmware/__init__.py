"""The C11 library: the stages for a microcontroller, and engines that run them on this machine and on emulated cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.twins import WITHOUT_TWIN, has
from pipeline.errors import BitspikeError

if TYPE_CHECKING:
    from pipeline.stage import Engine


def engines() -> dict[str, Engine]:
    """Return the engines that run the C library by name; what one needs is loaded when a stage is first bound to it."""
    from firmware.build import CORES
    from firmware.native import Native
    from firmware.target import Target

    return {Native.name: Native(), **{name: Target(name) for name in CORES}}


def engine(name: str) -> Engine:
    """Return one engine by name, the host's included.

    Raises
    ------
    BitspikeError
        There is none of that name; the message lists those there are.
    """
    from pipeline.stage import HOST

    known = {HOST.name: HOST, **engines()}
    if name not in known:
        raise BitspikeError(f"no engine is named {name!r}; there are: {', '.join(known)}")
    return known[name]


__all__ = ["WITHOUT_TWIN", "engine", "engines", "has"]
