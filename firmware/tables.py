"""Binary images of a chain's tables: written whole, read only when every byte is as it was written.

``firmware/include/bitspike/tables.h`` begins with the format; ``firmware/src/tables.c`` reads it on the device.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware.version import dotted, schema, version
from pipeline.capacity import Capacity
from pipeline.chain import Chain
from pipeline.errors import BitspikeError
from pipeline.layout import settled

MAGIC = int.from_bytes(b"BSTI", "little")
HEADER = struct.Struct("<6I")  # magic, schema, version, bytes, limits, entries
ENTRY = struct.Struct("<24s40sII")
ALIGNMENT, MOST_ENTRIES = 8, 4096
CURE = "generate it again: bitspike tables"


@dataclass(frozen=True)
class Image:
    """An image that was read.

    Attributes
    ----------
    capacity : Capacity
        What its structs are laid out for.
    entries : dict
        By stage and label, the bytes of the struct.
    """

    capacity: Capacity
    entries: dict[tuple[str, str], bytes]

    def tables(self, chain: Chain) -> dict[str, np.ndarray]:
        """Return the tables of a chain's stages by label, to build it with.

        Raises
        ------
        BitspikeError
            The chain has stages that the image has no tables for, or other ones than these.
        """
        found = {}
        for label, running in chain.stages.items():
            held = self.entries.get((running.name, label))
            if held is None:
                raise BitspikeError(f"the image has no tables for stage {running.name} labelled {label!r}; {CURE}")
            layout = running.tables_layout(self.capacity)
            if len(held) != layout.itemsize:
                raise BitspikeError(
                    f"the image's tables for {label!r} have {len(held)} bytes, those of {running.name} {layout.itemsize}; {CURE}"
                )
            found[label] = np.frombuffer(held, layout)[0:1].reshape(()).copy()
        return found


def image_bytes(chain: Chain, capacity: Capacity, more: Mapping[tuple[str, str], np.ndarray] | None = None) -> bytes:
    """Return the image of the tables of a chain whose stages are laid out for `capacity`; `more`: others by name and label.

    Raises
    ------
    BitspikeError
        A stage's name or label is too long.
    """
    limits = list(capacity.limits().values())
    structs = {**(more or {}), **{(running.name, label): running.tables for label, running in chain.stages.items()}}
    head = HEADER.size + 4 * len(limits) + ENTRY.size * len(structs)
    directory, body, at = b"", b"", -(-head // ALIGNMENT) * ALIGNMENT
    start = at
    for (kind, label), tables in structs.items():
        stage, name = kind.encode(), label.encode()
        if len(stage) >= 24 or len(name) >= 40:
            raise BitspikeError(f"stage {kind}: label {label!r} is too long for an image; choose up to 39 letters")
        held = settled(tables).tobytes()
        directory += ENTRY.pack(stage, name, at, len(held))
        body += held + bytes(-len(held) % ALIGNMENT)
        at = start + len(body)
    body += bytes(-(at + 4) % ALIGNMENT)
    size = start + len(body) + 4
    text = HEADER.pack(MAGIC, schema(), version(), size, len(limits), len(structs))
    text += struct.pack(f"<{len(limits)}I", *limits) + directory
    text += bytes(start - len(text)) + body
    return text + struct.pack("<I", zlib.crc32(text))


def read_image(path: str | Path) -> Image:
    """Read a file that `image_bytes` made.

    Raises
    ------
    BitspikeError
        It is not there, damaged, or of another version; the message says which.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BitspikeError(f"{path}: cannot be read ({error.strerror}); make it with bitspike tables") from None
    return parse_image(data, str(path))


def parse_image(data: bytes, where: str = "image") -> Image:
    """Return what an image holds; `where` (its path) leads the message of an error."""
    limits, entries = _checked_header(data, where)
    end = len(data) - 4
    (stored,) = struct.unpack_from("<I", data, end)
    computed = zlib.crc32(data[:end])
    if stored != computed:
        raise BitspikeError(f"{where}: damaged: its CRC-32 is {computed:08x}, and {stored:08x} is stored; {CURE}")
    begin = HEADER.size + 4 * len(limits)
    first = begin + ENTRY.size * entries
    if entries > MOST_ENTRIES or first > end:
        raise BitspikeError(f"{where}: damaged: its directory of {entries} entries does not fit; {CURE}")
    found = {}
    for k in range(entries):
        stage, label, offset, size = ENTRY.unpack_from(data, begin + k * ENTRY.size)
        if offset % ALIGNMENT or not first <= offset <= end or size > end - offset:
            raise BitspikeError(f"{where}: damaged: entry {k} lies outside; {CURE}")
        name, title = (part.rstrip(b"\0").decode("ascii", "replace") for part in (stage, label))
        found[name, title] = data[offset : offset + size]
    return Image(Capacity(*limits), found)


def _checked_header(data: bytes, where: str) -> tuple[list[int], int]:
    """Return the limits and the number of entries, or refuse an image for its header."""
    if len(data) < HEADER.size:
        raise BitspikeError(f"{where}: truncated: {len(data)} bytes are less than its header; {CURE}")
    magic, its_schema, its_version, size, count, entries = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise BitspikeError(f"{where}: is no image of tables: it begins with {data[:4]!r}, not {MAGIC.to_bytes(4, 'little')!r}")
    if its_schema != schema():
        raise BitspikeError(f"{where}: its tables are of schema {its_schema}, this library's of {schema()}; {CURE}")
    if its_version != version():
        raise BitspikeError(f"{where}: is for library {dotted(its_version)}, this is {dotted(version())}; {CURE}")
    if len(data) < size:
        raise BitspikeError(f"{where}: truncated: {len(data)} bytes of {size}; {CURE}")
    if len(data) > size:
        raise BitspikeError(f"{where}: damaged: {len(data)} bytes, and it says {size}; {CURE}")
    known = len(Capacity().limits())
    if count != known:
        raise BitspikeError(f"{where}: states {count} limits, this library has {known}; {CURE}")
    if size < HEADER.size + 4 * known + 4 or size % ALIGNMENT:
        raise BitspikeError(f"{where}: damaged: {size} bytes are no size of an image; {CURE}")
    return list(struct.unpack_from(f"<{known}I", data, HEADER.size)), entries
