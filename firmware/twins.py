"""Which stages have a C twin, and what every engine for the C library refuses in the same words."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError

SOURCES = Path(__file__).parent / "src"

# Stages that run on the host only, each with the reason.
WITHOUT_TWIN: dict[str, str] = {}


def has(stage: str) -> bool:
    """Return whether a stage has a C twin: ``src/<stage>.c``."""
    return (SOURCES / f"{stage}.c").is_file()


def require_twin(stage: str, engine: str) -> None:
    """Refuse a stage that has no C twin."""
    if not has(stage):
        reason = f" ({WITHOUT_TWIN[stage]})" if stage in WITHOUT_TWIN else ""
        raise BitspikeError(f"stage {stage}: not in the C library{reason}, so it cannot run on {engine}; run it on the host")


def require_room(engine: str, needed: Capacity, mine: Capacity) -> Capacity:
    """Return `mine`, what an engine was compiled for, or refuse more than that."""
    lacking = mine.lacks(needed)
    if lacking:
        most, least = mine.limits()[lacking], needed.limits()[lacking]
        raise BitspikeError(
            f"{engine}: compiled for at most {most} {lacking.replace('_', ' ')}, this needs {least}; "
            f"choose fewer, or compile with BS_MAX_{lacking.upper()}={least}"
        )
    return mine


def require_contiguous(array: np.ndarray) -> None:
    """Refuse an array that C could not walk through."""
    if not array.flags.c_contiguous:
        raise ValueError(f"an array of shape {array.shape} and strides {array.strides} is not C-contiguous")
