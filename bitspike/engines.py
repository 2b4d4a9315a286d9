"""Where the stages of a chain may run, by name."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.chain import Chain
from pipeline.errors import BitspikeError
from pipeline.stage import HOST, Engine, Stage

ENGINES = ("host", "native", "cortex-m4", "rv32imc")


def engines(on: str) -> Callable[[type[Stage]], Engine]:
    """Return a function that tells where each stage runs: on the engine of that name, or on the host where it has no C twin yet.

    Parameters
    ----------
    on : str
        "host" (this machine's Numba kernels), "native" (the firmware's C on this machine), "cortex-m4" or "rv32imc" (emulated).

    Raises
    ------
    BitspikeError
        There is none of that name.
    """
    if on not in ENGINES:
        raise BitspikeError(f"on: {on!r}; choose one of {', '.join(ENGINES)}")
    if on == "host":
        return lambda _stage: HOST
    import firmware

    chosen = firmware.engine(on)
    return lambda stage: chosen if firmware.has(stage.name) else HOST


def describe(chain: Chain, on: str) -> str:
    """Return in words where a chain runs."""
    here = [label for label, stage in chain.stages.items() if stage.engine.name != on]
    return f"{on}, but for {', '.join(here)} on the host" if here else on
