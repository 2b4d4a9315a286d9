"""The text header that Prophesee's RAW and DAT files begin with: read and written.

Lines of ``% keyword value``, ended by a line ``% end`` or by the first line that does not begin with "% ". What matters here:

=====================  =======================================================================================================
keyword                value
=====================  =======================================================================================================
evt, Version           2.0, 2.1 or 3.0 of RAW; 1 or 2 of DAT
format                 such as ``EVT3;height=720;width=1280``; EVT21 may have ``endianness=legacy``
geometry               such as ``1280x720``
Width, Height          pixels, of DAT
plugin_name, ...       names the camera, and so the size of its sensor
t0, T0                 time that the file's times count from, in microseconds: not Prophesee's, but faery's and ours
=====================  =======================================================================================================

Source: docs.prophesee.ai, File Formats, RAW and DAT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.blocks import EventFormat
from pipeline.errors import BitspikeError

LONGEST = 1 << 16  # bytes of a header
MOST_DIGITS = 18  # of a number that fits 64 bits
CAMERAS = {  # what a header names a camera by, and the size of its sensor; the first that is found
    "genx320": (320, 320),
    "saphir": (320, 320),
    "imx636": (1280, 720),
    "imx646": (1280, 720),
    "gen41": (1280, 720),
    "gen4": (1280, 720),
    "gen31": (640, 480),
    "gen3": (640, 480),
}


@dataclass(frozen=True)
class Header:
    """What a header says.

    Attributes
    ----------
    length : int
        Bytes, with a line ``% end``.
    words : dict
        Keyword, in lower case, to value, as they stand there.
    """

    length: int
    words: dict[str, str]

    @property
    def version(self) -> str:
        """ "2", "2.1" or "3" of a RAW file, "1" or "2" of a DAT file; empty where nothing says it."""
        named = self.words.get("format", "").split(";")[0].upper()
        if named.startswith("EVT"):
            return {"EVT2": "2", "EVT2.0": "2", "EVT21": "2.1", "EVT2.1": "2.1", "EVT3": "3", "EVT3.0": "3"}.get(named, named)
        given = self.words.get("evt", self.words.get("version", ""))
        return given.removesuffix(".0")

    @property
    def is_dat(self) -> bool:
        """Whether it is that of a DAT file."""
        return "evt" not in self.words and "format" not in self.words and "version" in self.words

    @property
    def legacy(self) -> bool:
        """Whether the halves of EVT2.1 words are swapped, as the IMX636 sends them."""
        return "endianness=legacy" in self.words.get("format", "").replace(" ", "")

    @property
    def origin(self) -> int:
        """Time that the file's times count from, in microseconds."""
        given = self.words.get("t0", "0")
        return int(given) if given.isdigit() and len(given) <= MOST_DIGITS else 0

    def sensor(self) -> tuple[EventFormat | None, str]:
        """Return the size of the sensor and what it is from; None where neither is known."""
        said = dict(re.findall(r"(width|height)=(\d+)", self.words.get("format", "")))
        across = re.fullmatch(r"(\d+)x(\d+)", self.words.get("geometry", ""))
        for width, height in (
            (said.get("width"), said.get("height")),
            across.groups() if across else (None, None),
            (self.words.get("width"), self.words.get("height")),
        ):
            if width and height and width.isdigit() and height.isdigit() and int(width) and int(height):
                return EventFormat(int(width), int(height)), "the header"
        named = " ".join(self.words.get(key, "") for key in ("plugin_name", "sensor_name", "system_id")).lower()
        for camera, size in CAMERAS.items():
            if camera in named:
                return EventFormat(*size), "the camera's name"
        return None, ""


def read_header(path: Path) -> Header:
    """Read the header of a RAW or DAT file; one without is of length 0.

    Raises
    ------
    BitspikeError
        It has no end.
    """
    with path.open("rb") as file:
        start = file.read(LONGEST)
    words: dict[str, str] = {}
    at = 0
    while start.startswith(b"% ", at):
        end = start.find(b"\n", at)
        if end < 0:
            raise BitspikeError(f"{path}: header: is cut off after {len(start)} bytes; the file is truncated or no event recording")
        key, _, value = start[at + 2 : end].decode("latin-1").strip().partition(" ")
        at = end + 1
        if key.lower() == "end":
            break
        words[key.lower()] = value.strip()
    return Header(at, words)


def raw_header(version: str, sensor: EventFormat, origin: int = 0) -> bytes:
    """Return the header of a RAW file; `version` is "2", "2.1" or "3"."""
    named = {"2": "EVT2", "2.1": "EVT21", "3": "EVT3"}[version]
    lines = [
        f"% evt {version if '.' in version else version + '.0'}",
        f"% format {named};height={sensor.height};width={sensor.width}",
        f"% geometry {sensor.width}x{sensor.height}",
        *([f"% t0 {origin}"] if origin else []),
        "% end",
    ]
    return ("\n".join(lines) + "\n").encode("ascii")


def dat_header(version: int, sensor: EventFormat, origin: int = 0) -> bytes:
    """Return the header of a DAT file of contrast events, with the two bytes that name their type and size."""
    lines = [
        "% Data file containing CD events",
        f"% Version {version}",
        f"% Width {sensor.width}",
        f"% Height {sensor.height}",
        *([f"% T0 {origin}"] if origin else []),
    ]
    return ("\n".join(lines) + "\n").encode("ascii") + bytes([0x0C, 8])
