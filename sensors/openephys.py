"""Whether a folder in Open Ephys' legacy format is whole: its reader silently shortens all channels to the shortest.

A ``.continuous`` file is a header of 1024 bytes and records of 2070: a time stamp, 1024 samples and a marker. The channels of a
processor are written together, so their files are equally long. Their names end with the channel and, from the second recording of
a folder on, with its number: ``100_CH5``, ``100_CH5_2``. Which were written stands in a file ``*.openephys``, where there
is one; channels that it does not list were not recorded, as a person may choose.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from pipeline.errors import BitspikeError

HEADER_BYTES, RECORD_BYTES = 1024, 2070
LISTED = re.compile(r'filename="([^"]+\.continuous)"')
CHANNEL = re.compile(r"\d+(?=(_\d+)?$)")  # in a file's name without its ending


def require_whole(folder: Path) -> None:
    """Refuse a folder in which a channel's file is missing or shorter than the others.

    Raises
    ------
    BitspikeError
        It names the file.
    """
    together: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(folder.glob("*.continuous")):
        together[_others(file)].append(file)
    for index in sorted(folder.glob("*.openephys")):
        for name in LISTED.findall(index.read_text(encoding="utf-8", errors="replace")):
            if _others(Path(name)) in together and not (folder / name).exists():
                raise BitspikeError(
                    f"{folder / name}: is missing, and {index.name} lists it; copy it again, or take it off that list to do without"
                )
    for files in together.values():
        _require_equal(files)


def _others(file: Path) -> str:
    """Return what a file's name has in common with those of the other channels."""
    return CHANNEL.sub("", file.stem, count=1)


def _require_equal(files: list[Path]) -> None:
    sizes = {file: file.stat().st_size for file in files}
    short, long = min(files, key=sizes.__getitem__), max(files, key=sizes.__getitem__)
    records = (sizes[short] - HEADER_BYTES) // RECORD_BYTES
    whole = HEADER_BYTES + records * RECORD_BYTES
    if sizes[short] == sizes[long] == whole and records > 0:
        return
    wrong = f"where {long.name} has {sizes[long]}" if sizes[short] < sizes[long] else "which is no whole number of records"
    cure = f", or cut the files of all channels to {whole} bytes" if records > 0 else ""
    raise BitspikeError(f"{short}: is truncated: {sizes[short]} bytes, {wrong}; copy it again{cure}")
