"""`bitspike cost`: counts are those of the budgets, sums are sums, and bad input is one line."""

from __future__ import annotations

import json

import pytest

import bitspike
from bitspike.costing import CLOCK_MHZ, UW_PER_MHZ, cost
from bitspike.main import run
from firmware.costs import CYCLES
from pipeline.chain import parse_chain

CHAIN = """
[[stage]]
name = "bandpass"
label = "band"
[[stage]]
name = "threshold"
threshold = 4
[[stage]]
name = "exclusion"
"""


@pytest.fixture(scope="module")
def found(recording):
    return cost(parse_chain(CHAIN, "detection"), recording, seconds=0.2, block_ms=10, on=["cortex-m4"])


def test_instructions_of_every_stage(found):
    (core,) = found.cores
    assert [stage.label for stage in core.stages] == ["band", "threshold", "exclusion"]
    band, threshold, exclusion = core.stages
    assert 26 < band.instructions / band.samples < 40  # eight channels: a little more than the budget for 16
    assert 13 < threshold.instructions / threshold.samples < 30
    assert band.spikes == threshold.spikes == 0
    assert exclusion.spikes > 5
    for stage in core.stages:
        assert stage.instructions < stage.cycles < 4 * stage.instructions
        assert stage.samples == round(0.2 * 24_000) * 8
        assert min(stage.code_bytes, stage.table_bytes, stage.state_bytes, stage.stack_bytes) > 0


def test_sums(found):
    (core,) = found.cores
    about = core.document()
    assert about["mhz"] == pytest.approx(sum(stage.cycles for stage in core.stages) / 0.2 / 1e6)
    assert about["uw"] == pytest.approx(UW_PER_MHZ * about["mhz"])
    assert about["channels_in_25_mhz"] == int(CLOCK_MHZ / (about["mhz"] / 8))
    assert about["cycles_of_an_instruction"] == CYCLES["cortex-m4"]
    assert core.memory.stack < core.memory.stack_room
    assert core.memory.flash > sum(stage.table_bytes for stage in core.stages)
    assert core.memory.ram > sum(stage.state_bytes for stage in core.stages) + core.memory.rings + core.memory.stack_room


def test_counts_repeat(found, recording):
    again = cost(parse_chain(CHAIN, "detection"), recording, seconds=0.2, block_ms=10, on=["cortex-m4"])
    assert again.document() == found.document()
    assert bitspike.cost is cost


def test_command(capsys, recording, tmp_path):
    path = tmp_path / "detection.toml"
    path.write_text(CHAIN)
    assert run(["cost", str(path), str(recording.path), "--seconds", "0.1", "--block-ms", "10", "--on", "cortex-m4"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for word in (
        "cortex-m4: instructions, counted",
        "band",
        "exclusion",
        "MHz a channel",
        "uW a channel",
        "fit in 25 MHz",
        "by the call graph",
    ):
        assert word in text
    assert run(["cost", str(path), str(recording.path), "--seconds", "0.1", "--block-ms", "10", "--on", "cortex-m4", "--json"]) == 0
    (core,) = json.loads(capsys.readouterr().out)["cores"]
    assert core["stages"][2]["instructions_per_spike"] > 100


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["none.wav"], "none.wav"),
        (["{recording}", "--seconds", "0"], "seconds: 0; choose up to 60"),
        (["{recording}", "--on", "native"], "on: 'native'; choose one of cortex-m4, rv32imc"),
        (["{recording}", "--start", "100"], "start: 100 s is not within the recording's 8 s"),
    ],
)
def test_bad_input_is_one_line(capsys, recording, arguments, complaint):
    assert run(["cost", "psoc68", *(a.format(recording=recording.path) for a in arguments)]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
