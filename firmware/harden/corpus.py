"""What fuzzing starts from: tables of every stage as `design` makes them, and images of them, so that most changes get far."""

from __future__ import annotations

import re
from pathlib import Path

from firmware.build import room_for
from firmware.room import Laid
from firmware.tables import image_bytes
from pipeline.chain import parse_chain
from pipeline.checks import example_format, example_signal
from pipeline.stage import REGISTRY

HERE = Path(__file__).parent
CHANNELS = 8
FRAMES = 160


def fuzzed_stages() -> list[str]:
    """Return the stages that ``fuzz_stages.c`` knows, in its order."""
    listed = re.search(r"STAGES\[\].*?\{(.*?)\}", (HERE / "fuzz_stages.c").read_text(), re.S)
    return re.findall(r"\w+", listed[1]) if listed else []


def write_stages(folder: Path) -> int:
    """Write an input for each example of each stage to `folder`, laid out for 8 channels; return how many there are."""
    signal = example_format(CHANNELS)
    engine, rest = Laid(room_for(CHANNELS)), bytes([CHANNELS - 1, FRAMES]) + example_signal(2 * FRAMES, signal).tobytes()
    count = 0
    for number, name in enumerate(fuzzed_stages()):
        cls = REGISTRY[name]
        for parameters in cls.examples():
            tables = cls(parameters, signal, engine=engine).tables
            (folder / f"{name}_{count}").write_bytes(bytes([number]) + tables.tobytes() + rest)
            count += 1
    return count


def write_image(folder: Path) -> int:
    """Write images of two chains' tables to `folder`, as ``fuzz_tables.c`` takes them; return how many there are."""
    texts = ("[[stage]]\nname = 'bandpass'", "[[stage]]\nname = 'bandpass'\n[[stage]]\nname = 'threshold'")
    room = room_for(CHANNELS)
    for count, text in enumerate(texts):
        chain = parse_chain(text).build(example_format(CHANNELS), engine=Laid(room))
        words = chain.stages["bandpass"].tables.nbytes // 4
        for right in (0, 1):  # whether the check sum is to be set right
            (folder / f"image_{count}_{right}").write_bytes(bytes([2 * words + right]) + image_bytes(chain, room))
    return 2 * len(texts)
