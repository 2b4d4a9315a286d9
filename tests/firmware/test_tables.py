"""Binary images of tables: what is not as it was written is refused, in Python with a line and in C with a reason."""

from __future__ import annotations

import ctypes
import mmap
import re
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware import build
from firmware.room import chain_capacity, laid_chain
from firmware.tables import ENTRY, HEADER, Image, image_bytes, parse_image, read_image
from firmware.target import Target
from pipeline.blocks import SampleFormat
from pipeline.capacity import Capacity
from pipeline.chain import parse_chain, read_chain
from pipeline.errors import BitspikeError
from pipeline.layout import settled

SIGNAL = SampleFormat(24_000, 5)
PLAN = parse_chain("""
[[stage]]
name = "bandpass"
label = "band"
[[stage]]
name = "threshold"
[[stage]]
name = "exclusion"
""")
CHAIN = laid_chain(PLAN, SIGNAL)
ROOM = chain_capacity(CHAIN)
IMAGE = image_bytes(CHAIN, ROOM)
END = len(IMAGE) - 4
HEADER_END = HEADER.size + 4 * len(ROOM.limits())
REASONS = {
    name: int(code)
    for name, code in re.findall(r"#define (BS_IMAGE_\w+) \((-\d+)\)", (build.ROOT / "include/bitspike/tables.h").read_text())
}
WORD = {name: 4 * i for i, name in enumerate(("magic", "schema", "version", "bytes", "limits", "entries"))}


def with_word(at: int, value: int, image: bytes = IMAGE, check: bool = True) -> bytes:
    """Return an image with one word changed, and, if asked for, the CRC to go with it."""
    changed = bytearray(image)
    struct.pack_into("<I", changed, at, value)
    if check:
        struct.pack_into("<I", changed, END, zlib.crc32(changed[:END]))
    return bytes(changed)


@pytest.fixture(scope="module")
def library():
    flags = ["gcc", "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    return ctypes.CDLL(str(build.host_library(flags, "-O1", ROOM)))


@pytest.fixture(scope="module")
def check(library):
    return checking(library)


def checking(library):
    """Return the C's answer on an image that ends where memory that may be read ends."""
    room = 1 << 16
    memory = mmap.mmap(-1, room + mmap.PAGESIZE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert protect(base + room, mmap.PAGESIZE, 0) == 0

    def answer(image: bytes, shift: int = 0) -> int:
        begin = room - -(-len(image) // 8) * 8 - 8 * bool(shift) + shift if len(image) % 8 or shift else room - len(image)
        memory[begin : begin + len(image)] = image
        return library.bs_tables_check(ctypes.c_void_p(base + begin), ctypes.c_uint32(len(image)))

    return answer


def find(library, stage, label, size, image=IMAGE):
    held = np.frombuffer(bytes(image) + bytes(8), np.uint64 if len(image) % 8 == 0 else np.uint8).copy()
    return library.bs_tables_find(
        ctypes.c_void_p(held.ctypes.data), ctypes.c_uint32(len(image)), stage, label, ctypes.c_uint32(size)
    )


def test_image_holds_the_tables(library, check, tmp_path):
    path = tmp_path / "chain.bin"
    path.write_bytes(IMAGE)
    image = read_image(path)
    assert image.capacity == ROOM
    assert check(IMAGE) == 0
    for label, running in CHAIN.stages.items():
        held = settled(running.tables).tobytes()
        assert image.tables(CHAIN)[label].tobytes() == held
        at = find(library, running.name.encode(), label.encode(), len(held))
        assert IMAGE[at : at + len(held)] == held
    assert zlib.crc32(IMAGE[:END]) == struct.unpack_from("<I", IMAGE, END)[0]


@pytest.mark.parametrize("core", build.CORES)
def test_targets_read_it(core):
    machine = Target(core, ROOM).machine
    held = np.frombuffer(IMAGE, np.uint8)
    stage, label = (np.frombuffer(text + b"\0", np.uint8) for text in (b"bandpass", b"band"))
    size = CHAIN.stages["band"].tables.nbytes
    assert machine.call("bs_tables_check", held, len(held)) == 0
    at = machine.call("bs_tables_find", held, len(held), stage, label, size)
    assert IMAGE[at : at + size] == settled(CHAIN.stages["band"].tables).tobytes()
    damaged = held.copy()
    damaged[at] ^= 1
    assert machine.call("bs_tables_check", damaged, len(held)) == REASONS["BS_IMAGE_CRC"]


REFUSED = {
    "magic": (with_word(WORD["magic"], 0x21212121), "BS_IMAGE_NONE", "is no image of tables"),
    "schema": (with_word(WORD["schema"], 999), "BS_IMAGE_SCHEMA", "schema 999"),
    "version": (with_word(WORD["version"], 0x020304), "BS_IMAGE_VERSION", "is for library 2.3.4"),
    "longer": (with_word(WORD["bytes"], len(IMAGE) + 8), "BS_IMAGE_TRUNCATED", f"truncated: {len(IMAGE)} bytes of"),
    "shorter": (with_word(WORD["bytes"], len(IMAGE) - 8), "BS_IMAGE_CRC", "damaged"),
    "odd size": (with_word(WORD["bytes"], len(IMAGE) - 1), "BS_IMAGE_DIRECTORY", "damaged"),
    "no size": (with_word(WORD["bytes"], 8), "BS_IMAGE_DIRECTORY", "damaged"),
    "limits": (with_word(WORD["limits"], 0xFFFFFFFF), "BS_IMAGE_CAPACITY", "states 4294967295 limits"),
    "entries": (with_word(WORD["entries"], 0x10000000), "BS_IMAGE_DIRECTORY", "directory of 268435456 entries"),
    "entry too many": (with_word(WORD["entries"], 12), "BS_IMAGE_DIRECTORY", "damaged"),
    "offset": (with_word(HEADER_END + ENTRY.size - 8, 0xFFFFFFF8), "BS_IMAGE_DIRECTORY", "entry 0 lies outside"),
    "offset at 4": (
        with_word(HEADER_END + ENTRY.size - 8, HEADER_END + 3 * ENTRY.size + 4),
        "BS_IMAGE_DIRECTORY",
        "entry 0 lies outside",
    ),
    "offset in the header": (with_word(HEADER_END + ENTRY.size - 8, 8), "BS_IMAGE_DIRECTORY", "entry 0 lies outside"),
    "length": (with_word(HEADER_END + ENTRY.size - 4, 0xFFFFFFFF), "BS_IMAGE_DIRECTORY", "entry 0 lies outside"),
    "CRC": (with_word(END, 0, check=False), "BS_IMAGE_CRC", "its CRC-32 is"),
    "empty": (b"", "BS_IMAGE_TRUNCATED", "truncated: 0 bytes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_damage_is_named(check, case):
    image, reason, line = REFUSED[case]
    assert check(image) == REASONS[reason]
    with pytest.raises(BitspikeError, match=f"^x.bin: .*{re.escape(line)}") as caught:
        parse_image(image, "x.bin")
    assert "\n" not in str(caught.value)


def test_other_capacity_is_refused(check, library):
    other = image_bytes(CHAIN, replace(ROOM, channels=6))
    assert check(other) == REASONS["BS_IMAGE_CAPACITY"]
    assert find(library, b"bandpass", b"band", 60, other) == REASONS["BS_IMAGE_CAPACITY"]
    with pytest.raises(BitspikeError, match="the image's tables for 'exclusion' have 40 bytes, those of exclusion 44"):
        parse_image(other).tables(CHAIN)


def test_unaligned_image_is_refused(check):
    assert check(IMAGE, 4) == REASONS["BS_IMAGE_UNALIGNED"]


def test_every_flip_of_the_header_is_noticed(check):
    """Every bit of header, limits and directory, and of the CRC."""
    first = HEADER_END + 3 * ENTRY.size
    for at in [*range(first), *range(END, len(IMAGE))]:
        for bit in range(8):
            image = bytearray(IMAGE)
            image[at] ^= 1 << bit
            assert check(bytes(image)) in REASONS.values()
            with pytest.raises(BitspikeError):
                parse_image(bytes(image))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(IMAGE) - 1), st.integers(1, 255)), min_size=1, max_size=4, unique_by=lambda f: f[0]))
def test_any_damage_is_noticed(check, flips):
    image = bytearray(IMAGE)
    for at, mask in flips:
        image[at] ^= mask
    assert check(bytes(image)) in REASONS.values()
    with pytest.raises(BitspikeError):
        parse_image(bytes(image))


@pytest.mark.parametrize("length", [*range(0, HEADER_END + 9), *range(HEADER_END + 9, len(IMAGE), 37), *range(END - 9, len(IMAGE))])
def test_truncated_image_is_refused(check, length):
    assert check(IMAGE[:length]) == REASONS["BS_IMAGE_TRUNCATED"]
    with pytest.raises(BitspikeError, match="truncated"):
        parse_image(IMAGE[:length])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_whatever_follows_a_good_header_is_survived(check, tail, sound):
    """Images with a right CRC that nobody wrote: the C reads nothing outside, and both agree on whether they are good."""
    limits = b"".join(struct.pack("<I", value) for value in ROOM.limits().values())
    body = tail + bytes(-(HEADER_END + len(tail) + 4) % 8)
    size = HEADER_END + len(body) + 4
    text = HEADER.pack(*HEADER.unpack_from(IMAGE)[:3], size, len(ROOM.limits()), tail[0] % 8 if tail else 0) + limits + body
    image = text + struct.pack("<I", zlib.crc32(text) ^ (not sound))
    good = check(image) == 0
    try:
        parse_image(image)
    except BitspikeError:
        assert not good
    else:
        assert good


@pytest.mark.parametrize(
    ("old", "new", "case"),
    [
        ("0x1DB71064u", "0x1DB71065u", None),
        ("crc >> 4 ^ step", "crc >> 3 ^ step", None),
        ("!= BS_TABLES_SCHEMA", "== 0", "schema"),
        ("offset % ALIGNMENT != 0 || ", "", "offset at 4"),
    ],
)
def test_mutation_is_noticed(copy, old, new, case):
    source = copy / "src/tables.c"
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new))
    for other in build.sources(copy):
        if other.stem not in ("tables", "version"):
            other.unlink()
    image, reason = (IMAGE, 0) if case is None else (REFUSED[case][0], REASONS[REFUSED[case][1]])
    assert checking(ctypes.CDLL(str(build.host_library(["gcc"], "-O0", ROOM, copy))))(image) != reason


def test_what_is_not_there_is_not_found(library):
    size = CHAIN.stages["band"].tables.nbytes
    for stage, label, bytes_, reason in (
        (b"bandpass", b"bandpass", size, "MISSING"),
        (b"bandpas", b"band", size, "MISSING"),
        (b"bandpass", b"band2", size, "MISSING"),
        (b"bandpass", b"", size, "MISSING"),
        (b"b" * 60, b"band", size, "MISSING"),
        (b"bandpass", b"band", size - 4, "SIZE"),
    ):
        assert find(library, stage, label, bytes_) == REASONS[f"BS_IMAGE_{reason}"]
    with pytest.raises(BitspikeError, match="no tables for stage bandpass labelled 'band'"):
        Image(ROOM, {}).tables(CHAIN)


def test_missing_file_is_one_line(tmp_path):
    with pytest.raises(
        BitspikeError, match=r"none\.bin: cannot be read \(No such file or directory\); make it with bitspike tables"
    ):
        read_image(tmp_path / "none.bin")


def test_long_label_is_refused():
    plan = parse_chain(f'[[stage]]\nname = "adc"\nlabel = "{"a" * 40}"\n')
    with pytest.raises(BitspikeError, match="too long for an image; choose up to 39"):
        image_bytes(plan.build(SIGNAL), Capacity())


def test_trained_tables_move_to_a_larger_room():
    plan = read_chain("psoc68")
    here = plan.build(SIGNAL)
    trained = here.stages["sorter"].tables.copy()
    trained["units"], trained["template"] = 3, np.arange(trained["template"].size).reshape(trained["template"].shape) % 1000
    there = plan.build(SIGNAL, {"sorter": trained}, lambda _: Wide()).stages["sorter"].tables.copy()
    assert there.dtype == plan.build(SIGNAL, engine=lambda _: Wide()).stages["sorter"].tables.dtype
    assert there["units"] == 3
    corner = tuple(slice(n) for n in trained["template"].shape)
    np.testing.assert_array_equal(there["template"][corner], trained["template"])
    assert (there["neighbour"][SIGNAL.channels :] == -1).all()
    back = plan.build(SIGNAL, {"sorter": there}).stages["sorter"].tables
    assert back.dtype == trained.dtype
    for name in trained.dtype.names:
        np.testing.assert_array_equal(back[name], trained[name], name)
    there["template"].reshape(-1)[-1] = 5
    with pytest.raises(BitspikeError, match=r"stage sorter: tables of another layout \(template is .*, and there is room for"):
        plan.build(SIGNAL, {"sorter": there})
    with pytest.raises(BitspikeError, match="which it has no stage for"):
        plan.build(SIGNAL, {"other": there})


class Wide:
    """More room than is needed."""

    name = "host"

    def capacity(self, needed: Capacity) -> Capacity:
        return build.USUAL

    def bind(self, stage):
        return lambda *_: 0
