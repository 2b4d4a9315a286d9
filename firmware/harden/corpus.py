"""What fuzzing starts from: tables of every stage as `design` makes them, and images of them, so that most changes get far."""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from firmware.build import room_for
from firmware.room import Laid
from firmware.tables import image_bytes
from pipeline.blocks import EVENT_COLUMNS, EventFormat, Events, Spikes
from pipeline.capacity import Capacity
from pipeline.chain import parse_chain
from pipeline.checks import cut, example_events, example_format, example_signal
from pipeline.errors import TooLittleError
from pipeline.layout import settled
from pipeline.stage import REGISTRY, Stage

HERE = Path(__file__).parent
CHANNELS = 8
SENSOR = EventFormat(40, 30, 15.0)
FRAMES = 160
SPIKES = 12


def fuzzed_stages() -> list[str]:
    """Return the stages that ``fuzz_stages.c`` knows, in its order."""
    listed = re.search(r"STAGES\[\].*?\{(.*?)\}", (HERE / "fuzz_stages.c").read_text(), re.S)
    return re.findall(r"\w+", listed[1]) if listed else []


def room() -> Capacity:
    """Return what the fuzzed library is compiled for: 8 channels, and for the sorter no more than its smallest example needs."""
    small = REGISTRY["sorter"].needed(next(iter(REGISTRY["sorter"].examples())), example_format(CHANNELS))
    return replace(room_for(CHANNELS), **{name: most for name, most in small.limits().items() if most})


def _format(cls: type[Stage]) -> Any:
    return SENSOR if Events in cls.takes else example_format(CHANNELS)


def _events() -> bytes:
    """Return two blocks of events as ``fuzz_stages.c`` takes them, the first of a ring that moves."""
    events, parts = example_events(4 * FRAMES, SENSOR), []
    for block in range(2):
        some = slice(block * FRAMES, (block + 1) * FRAMES)
        parts += [bytes([FRAMES]), *(getattr(events, name)[some].tobytes() for name in EVENT_COLUMNS)]
    return b"".join(parts)


def _tables(cls: type[Stage], parameters: Any) -> np.ndarray:
    """Return a stage's tables, learned from a made-up signal where it learns."""
    signal = _format(cls)
    running: Any = cls(parameters, signal, engine=Laid(room()))
    if hasattr(running, "fit"):
        length = 10_000 * CHANNELS
        with suppress(TooLittleError):
            running.fit(cut(cls, example_signal(length, signal), [0, length], signal))
    return running.tables


def _head(name: str) -> bytes:
    """Return what precedes the signal: the numbers that a stage's part of ``fuzz_stages.c`` takes, and spikes."""
    if REGISTRY[name].takes == (Spikes,) and name != "exclusion":
        return bytes([3])
    if Spikes in REGISTRY[name].takes:
        spikes = [struct.pack("<hbi", 10 * k, k % CHANNELS, -500) for k in range(SPIKES)]
        return bytes([FRAMES, SPIKES]) + b"".join(spikes)
    return bytes({"reference": [FRAMES], "decimate": [CHANNELS - 1, 0, FRAMES]}.get(name, [CHANNELS - 1, FRAMES]))


def write_stages(folder: Path) -> int:
    """Write an input for each example of each stage that fits to `folder`; return how many there are."""
    signal = example_signal(2 * FRAMES, example_format(CHANNELS)).tobytes()
    count = 0
    for number, name in enumerate(fuzzed_stages()):
        for parameters in REGISTRY[name].examples():
            cls = REGISTRY[name]
            if room().lacks(cls.needed(parameters, _format(cls))) is None:
                tables = settled(_tables(cls, parameters)).tobytes()
                given = _events() if Events in cls.takes else _head(name) + signal
                (folder / f"{name}_{count}").write_bytes(bytes([number]) + tables + given)
                count += 1
    return count


def write_image(folder: Path) -> int:
    """Write images of two chains' tables to `folder`, as ``fuzz_tables.c`` takes them; return how many there are."""
    texts = ("[[stage]]\nname = 'bandpass'", "[[stage]]\nname = 'bandpass'\n[[stage]]\nname = 'threshold'")
    for count, text in enumerate(texts):
        chain = parse_chain(text).build(example_format(CHANNELS), engine=Laid(room()))
        words = chain.stages["bandpass"].tables.nbytes // 4
        for right in (0, 1):  # whether the check sum is to be set right
            (folder / f"image_{count}_{right}").write_bytes(bytes([2 * words + right]) + image_bytes(chain, room()))
    return 2 * len(texts)


def write_words(folder: Path) -> int:
    """Write streams of both formats to `folder`, as ``fuzz_words.c`` takes them: sound, damaged, and random; return how many."""
    rng, count, n = np.random.default_rng(0), 0, 400
    row, column, clock = rng.integers(0, 30, n), rng.integers(0, 40, n), np.arange(n) // 4
    for number, bits, word in ((0, 28, "<u4"), (1, 12, "<u2")):
        events = (clock % 64 << 22 | column << 11 | row) if number == 0 else 2 << 12 | column
        sound = np.where(np.arange(n) % 5 == 0, 8 << bits | clock // 16, events)
        if number == 1:
            kinds = rng.choice([0, 2, 3, 4, 5, 6], n)
            sound = np.where(np.arange(n) % 3 == 1, kinds << 12 | np.where(kinds > 3, rng.integers(0, 4096, n), column), sound)
        leaps = np.where(rng.random(n) < 0.02, 8 << bits | rng.integers(0, 1 << bits, n), sound)
        for words in (sound, leaps, rng.integers(0, 1 << bits + 4, n), sound[:0]):
            for step in (0, 40):
                head = bytes([number, 5, 4, 3, 7, step, 0, 0])
                (folder / f"words_{count}").write_bytes(head + words.astype(word).tobytes())
                count += 1
    return count


def write_learning(folder: Path) -> int:
    """Write designed tables and spikes to `folder`, as ``fuzz_learning.c`` takes them: of two shapes in noise; return how many."""
    cls, rng, count = REGISTRY["sorter"], np.random.default_rng(0), 0
    signal = example_format(CHANNELS)
    for parameters in cls.examples():
        if room().lacks(cls.needed(parameters, signal)) is None:
            running: Any = cls(parameters, signal, engine=Laid(room()))
            tables, width, before = running.tables, int(running.tables["width"]), int(running.tables["before"])
            for spikes, lacking in ((0, 0), (30, 0), (110, 0), (30, 1)):
                channel, loud = rng.integers(0, CHANNELS, spikes), rng.choice([300, 900], spikes)
                wave = -np.exp(-0.5 * ((np.arange(width) - before) / 2.5) ** 2)
                shape = (spikes, int(tables["neighbours"]), width)
                waveform = np.rint(loud[:, None, None] * wave + rng.normal(0, 20, shape)).astype("<i2")
                heads = [struct.pack("<Bh", int(c), -int(a)) for c, a in zip(channel, loud, strict=True)]
                content = bytes([CHANNELS - 1, spikes, lacking]) + settled(tables).tobytes() + b"".join(heads) + waveform.tobytes()
                (folder / f"learning_{count}").write_bytes(content)
                count += 1
    return count
