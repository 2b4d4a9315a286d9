"""The files of a simulated cytometer's folder, and how to tell it: apart from what simulates it, which takes time to load."""

from __future__ import annotations

import json
from pathlib import Path

FORMAT, VERSION = "bitspike simulated cytometer", 1
EVENTS, TRUTH, PARAMETERS, INFO = "recording.raw", "truth.npz", "parameters.json", "info.json"


def is_simulated_cytometry(path: Path) -> bool:
    """Tell whether `path` is a folder that `simulate_cytometry` wrote."""
    try:
        return bool(json.loads((path / INFO).read_text(encoding="utf-8")).get("format") == FORMAT)
    except (OSError, ValueError, AttributeError):
        return False
