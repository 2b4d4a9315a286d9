"""The decoders of EVT2 and EVT3 in C give the events and count the damage of the host's, however the bytes are cut."""

from __future__ import annotations

import os
import tomllib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from firmware import build
from firmware.callgraph import CallGraph
from firmware.decoding import COUNTS, DECODERS, LOOK, MOST, WORD, Decoder, state_layout, tables_for, tables_layout
from firmware.native import Native
from firmware.target import Target
from pipeline.blocks import EventFormat
from pipeline.layout import blank, c_layout_check
from sensors.events.prophesee import read_header
from sensors.events.raw import raw_reader
from sensors.events.source import EventRecording

VERSION = {"evt2": "2", "evt3": "3"}
SENSOR = EventFormat(300, 200)
REAL = {"evt2": ("evt2/evt2_sample.raw", EventFormat(640, 480)), "evt3": ("evt3/evt3_sample.raw", EventFormat(1280, 720))}
BAD_TABLES, NO_ROOM = -3, -5
BUDGET = tomllib.loads((build.ROOT / "budget.toml").read_text())
COMPILERS = {"gcc": ["gcc"], **{core: [*build.zig(), *flags.zig] for core, flags in build.CORES.items()}}


@pytest.fixture(scope="module")
def watched():
    """The library on this machine, watched for what C leaves undefined."""
    return Native(build.host_library(["gcc", "-fsanitize=undefined", "-fno-sanitize-recover=all"], "-O1", 24))


@pytest.fixture
def host(tmp_path):
    """What the host's reader makes of words in a file."""

    def read(name, data, sensor=SENSOR):
        path = tmp_path / "words.raw"
        path.write_bytes(data)
        recording = EventRecording(path, name, sensor, raw_reader(path, VERSION[name], sensor))
        events = recording.read()
        return (events.t_us, events.x, events.y, events.p), recording.counts

    return read


def require_same(name, data, host, library, cuts=(), sensor=SENSOR, room=4096):
    """Compare the events and the counts; return those of the host."""
    decoder, bounds = Decoder(name, sensor, library, room), [0, *sorted(cuts), len(data)]
    parts = [decoder.decode(data[a:b]) for a, b in pairwise(bounds)]
    parts.append(decoder.decode(b"", final=True))
    expected, counts = host(name, data, sensor)
    for column, wanted in zip(zip(*parts, strict=True), expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(column), wanted)
    assert decoder.counts() == counts
    return expected, counts


def spread(name, rng, n):
    """Return words of all types as bytes; the times mostly go on, and most events are within the sensor."""
    bits = 28 if name == "evt2" else 12
    body = rng.integers(0, 1 << bits, n)
    if name == "evt2":
        kind = rng.choice([0, 1, 8, 10, 14, 15, 3, 9], n, p=[0.35, 0.35, 0.2, 0.02, 0.02, 0.02, 0.02, 0.02])
        event = rng.integers(0, 64, n) << 22 | rng.integers(0, 310, n) << 11 | rng.integers(0, 205, n)
    else:
        kind = rng.choice(16, n, p=[0.15, 0.01, 0.3, 0.08, 0.1, 0.05, 0.15, 0.01, 0.08, *[0.01] * 7])
        event = (body & 0x800) | body % 320
    clock = np.cumsum(rng.choice([0, 1, 1, 1, 2, 5, 40], n)) + int(rng.integers(0, 1 << bits))
    high = np.where(rng.random(n) < 0.1, body, clock) & ((1 << bits) - 1)
    word = np.where(kind == 8, high, np.where((kind <= 1) | ((name == "evt3") & (kind <= 5)), event, body))
    return (kind << bits | word).astype("<u4" if name == "evt2" else "<u2").tobytes()


def real(name):
    folder = os.environ.get("BITSPIKE_DATA")
    if not folder:
        pytest.skip("BITSPIKE_DATA is not set: it names the folder of real recordings")
    path, sensor = REAL[name]
    file = Path(folder) / "events" / path
    return file.read_bytes()[read_header(file).length :], sensor


@pytest.mark.parametrize("name", DECODERS)
def test_words_of_all_kinds_in_any_pieces(name, engine, host):
    rng, met = np.random.default_rng(11), dict.fromkeys(COUNTS, 0)
    for n in (2, 40, 3000, 20_000):
        data = spread(name, rng, n)[: -int(rng.integers(0, WORD[name])) or None]
        cuts = rng.integers(0, len(data), min(n, 60)).tolist()
        _, counts = require_same(name, data, host, engine, cuts)
        met = {kind: met[kind] + counts[kind] for kind in COUNTS}
    assert all(met.values())  # every kind of damage came up


@pytest.mark.parametrize("name", DECODERS)
def test_single_bytes_and_little_room(name, watched, host):
    data = spread(name, np.random.default_rng(2), 1500)
    require_same(name, data, host, watched, range(1, len(data)))
    require_same(name, data, host, watched, room=MOST[name])


@pytest.mark.parametrize("name", DECODERS)
def test_real_recording(name, engine, host):
    """All of it on this machine; on the emulated cores its beginning."""
    data, sensor = real(name)
    data = data if isinstance(engine, Native) else data[:80_000]
    rng = np.random.default_rng(1)
    events, _ = require_same(name, data, host, engine, rng.integers(0, len(data), 20).tolist(), sensor)
    assert len(events[0]) > 10_000


@pytest.mark.parametrize("name", DECODERS)
def test_damaged_truncated_and_spliced_recordings(name, watched, host):
    data, sensor = real(name)
    rng, damaged = np.random.default_rng(4), 0
    for _ in range(25):
        held = bytearray(data[: int(rng.integers(100, 60_000))])
        for _ in range(int(rng.integers(0, 30))):
            held[int(rng.integers(len(held)))] ^= 1 << int(rng.integers(8))
        at, other = rng.integers(0, len(held), 2).tolist()
        held[at : at + int(rng.integers(0, 9))] = data[other : other + int(rng.integers(0, 400))]
        _, counts = require_same(name, bytes(held), host, watched, rng.integers(0, len(held), 9).tolist(), sensor)
        damaged += sum(counts.values()) > 0
    assert damaged > 15


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("name", DECODERS)
def test_as_many_words_wait_as_the_host_looks_ahead(name, more, watched, host):
    """A damaged time, and the next one just within, or just beyond, the words that can wait."""
    kind, event = {"evt2": ("<u4", 1 << 28), "evt3": ("<u2", 0x2000)}[name]
    high = 8 << (28 if name == "evt2" else 12)
    words = [high | 100, 0, event] + [high | 900] + [event] * (LOOK - 1 + more) + [high | 101, event]
    _, counts = require_same(name, np.array(words, kind).tobytes(), host, watched, [5, 900, 901])
    assert counts["refused"] == (1 if more <= 0 else 0)
    require_same(name, np.array(words[:300], kind).tobytes(), host, watched)  # the end comes while it waits


@pytest.mark.parametrize("name", DECODERS)
def test_what_it_refuses(name, watched):
    for sensor in (EventFormat(2049, 100), EventFormat(100, 4096)):
        assert watched.call(f"bs_{name}_init", tables_for(sensor), blank(state_layout(name))) == BAD_TABLES
        with pytest.raises(ValueError, match=f"{name}: no decoder for {sensor.width} x {sensor.height} pixels"):
            Decoder(name, sensor, watched)
    decoder = Decoder(name, SENSOR, watched)
    given, taken = (np.zeros(MOST[name], kind) for kind in ("i8", "u2", "u2", "u1")), np.ones(1, np.uint32)
    arguments = decoder.tables, decoder.state, np.zeros(8, np.uint8), *given, taken, 8, MOST[name] - 1, 0
    assert watched.call(f"bs_{name}_process", *arguments) == NO_ROOM
    assert taken[0] == 0


@pytest.mark.parametrize("name", DECODERS)
def test_reset_and_clock(name, watched):
    decoder = Decoder(name, SENSOR, watched)
    events = decoder.decode(spread(name, np.random.default_rng(3), 3000), final=True)
    clock = watched.call(f"bs_{name}_clock", decoder.state) & 0xFFFF_FFFF
    assert clock == max(int(decoder.state["time"]), int(decoder.state["base"])) & 0xFFFF_FFFF
    assert max(int(decoder.state["time"]), int(decoder.state["base"])) >= int(events.t[-1])
    watched.call(f"bs_{name}_reset", decoder.state)
    assert not decoder.state.tobytes().strip(b"\0")


@pytest.mark.parametrize("compiler", COMPILERS)
def test_structs_are_the_layouts(tmp_path, compiler):
    lines = ["#include <stddef.h>", *(f'#include "bitspike/{name}.h"' for name in DECODERS)]
    for name in DECODERS:
        lines += [
            c_layout_check(f"bs_{name}_{what}", dtype)
            for what, dtype in (("tables", tables_layout()), ("state", state_layout(name)))
        ]
    (tmp_path / "unit.c").write_text("\n".join(lines))
    flags = [*build.COMMON, f"-I{build.ROOT / 'include'}", "-c", str(tmp_path / "unit.c"), "-o", str(tmp_path / "unit.o")]
    build.run([*COMPILERS[compiler], *flags])


@pytest.mark.parametrize("core", build.CORES)
@pytest.mark.parametrize("name", DECODERS)
def test_cost_stays_within_its_budget(name, core):
    """Instructions an event of a real recording, bytes of code and of stack."""
    budget, library = BUDGET[core][name], Target(core, 24)
    graph = CallGraph(library.image)
    data, sensor = real(name)
    decoder = Decoder(name, sensor, library)
    decoder.decode(data[:20_000])
    with library.counting() as counts:
        events = decoder.decode(data[20_000:80_000])
    each = counts.by_function
    assert sum(each.values()) / len(events.t) <= budget["instructions"][0]
    assert graph.code_bytes(*(f"bs_{name}_{what}" for what in ("init", "process", "reset", "clock"))) <= budget["code"]
    assert graph.stack_bytes(f"bs_{name}_process") <= budget["stack"]


MUTATIONS = [
    ("src/evt2.c", "word >> 22 & 0x3Fu", "word >> 22 & 0x1Fu"),
    ("src/evt2.c", "when < now ? now : when", "when"),
    ("src/evt2.c", "line < height;", "line <= height;"),
    ("src/evt2.c", "#define UNIT 6u", "#define UNIT 7u"),
    ("src/evt2.c", "high = state->base;\n            stop", "stop"),
    ("src/evt3.c", "kind == 4 ? 12u : 8u", "12u"),
    ("src/evt3.c", "0x09AFu", "0x09ADu"),
    ("src/evt3.c", "when < now ? now : when", "when"),
    ("src/evt3.c", "kind == 1 ? NOWHERE : state->y", "state->y"),
    ("src/evt3.c", "        state->y = NOWHERE;\n", ""),
    ("include/bitspike/words.h", "after <= BS_NEAR && ", ""),
    ("include/bitspike/words.h", "BS_LOOK * size", "BS_LOOK * size - size"),
    ("include/bitspike/words.h", "mask - BS_BACK ?", "mask ?"),
    ("include/bitspike/words.h", "from[1] << 8", "from[1] << 7"),
]


@pytest.mark.parametrize(("file", "old", "new"), MUTATIONS)
def test_mutation_is_noticed(copy, host, file, old, new):
    path = copy / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    for other in build.sources(copy):
        if other.stem not in (*DECODERS, "version"):
            other.unlink()
    library, rng = Native(build.host_library(["gcc"], "-O1", 24, copy)), np.random.default_rng(11)

    def differs(name):
        data = [spread(name, rng, 6000)]
        if "LOOK" in old or "BACK" in old:  # a damaged time that is found out at the last moment, and one that goes back
            data.append(np.array([0x8064, 0, 0x2000, 0x8060, 0x2000, 0x8061, 0x2000], "<u2").tobytes())
            data.append(np.array([0x8064, 0, 0x2000, 0x8384, *[0x2000] * (LOOK - 1), 0x8065, 0x2000], "<u2").tobytes())
        for one in data if name == "evt3" else data[:1]:
            cuts = rng.integers(0, len(one), 50).tolist()
            decoder, bounds = Decoder(name, SENSOR, library), [0, *sorted(cuts), len(one)]
            try:
                parts = [decoder.decode(one[a:b], b == len(one)) for a, b in pairwise(bounds)]
            except ValueError:
                return True
            expected, counts = host(name, one)
            got = [np.concatenate(column) for column in zip(*parts, strict=True)]
            if decoder.counts() != counts or not all(map(np.array_equal, got, expected)):
                return True
        return False

    assert any(differs(name) for name in DECODERS if name in file or "words" in file)
