"""The version of the C library and of the layout of its tables, as its header states them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

HEADER = Path(__file__).parent / "include" / "bitspike" / "version.h"


@cache
def _stated() -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"^#define BS_(\w+) (\d+)$", HEADER.read_text(encoding="utf-8"), re.M)}


def schema() -> int:
    """Return ``BS_TABLES_SCHEMA``."""
    return _stated()["TABLES_SCHEMA"]


def version() -> int:
    """Return ``BS_VERSION``: major, minor and patch, a byte each."""
    major, minor, patch = (_stated()[f"VERSION_{part}"] for part in ("MAJOR", "MINOR", "PATCH"))
    return major << 16 | minor << 8 | patch


def dotted(number: int) -> str:
    """Return a version as a person writes it."""
    return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"
