"""`bitspike verify`: no difference where there is none, and a difference named by stage, sample, channel, both values and table."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest

import bitspike
from bitspike import verifying
from bitspike.main import run
from bitspike.verifying import generated_blocks, verify
from firmware import build
from firmware.comparing import Comparison
from firmware.native import Native
from pipeline.blocks import SampleFormat, Samples
from pipeline.chain import parse_chain
from pipeline.checks import example_format, example_signal
from pipeline.errors import BitspikeError

FILTERS = parse_chain("""
[[stage]]
name = "adc"
[[stage]]
name = "bandpass"
label = "band"
[[stage]]
name = "artefact"
from = "adc"
""")
DETECTION = parse_chain("""
[[stage]]
name = "bandpass"
[[stage]]
name = "threshold"
threshold = 4
""")


def broken(tmp_path, module, old, new):
    """Return the native engine on a library with a mistake in one file."""
    root = tmp_path / "firmware"
    shutil.copytree(build.ROOT, root, ignore=shutil.ignore_patterns("__pycache__", "harden"))
    source = root / f"src/{module}.c"
    assert old in source.read_text()
    source.write_text(source.read_text().replace(old, new))
    for other in build.sources(root):
        if other.stem not in ("adc", "artefact", "bandpass", "threshold", "version"):
            other.unlink()
    return Native(build.host_library(["gcc"], "-O0", 24, root))


def test_recording_on_all_twins(capsys, recording, chain_file):
    assert run(["verify", str(chain_file), str(recording.path), "--seconds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differences"] == 0
    assert found["frames"] == 48_000
    assert [(s["label"], s["engine"]) for s in found["stages"][:3]] == [("band", n) for n in ("native", "cortex-m4", "rv32imc")]
    counts = {stage["label"]: stage["samples"] for stage in found["stages"]}
    assert counts["band"] == 48_000 * 8
    assert counts["threshold"] > 50
    assert found["learned"].startswith("from frames 0 to 48000")
    assert set(counts) | set(found["without"]) == {"band", "field", "threshold", "exclusion", "sorter"}


def test_generated_input(capsys):
    assert run(["verify", "psoc68", "--channels", "5", "--generated", "700000", "--on", "native"]) == 0
    text = capsys.readouterr().out
    assert "generated input: 140,000 frames of 5 channels" in text
    assert "700,000" in text
    assert bitspike.verify is verify


def test_generated_input_on_targets(recording, plan):
    found = verify(plan, recording, generated=150_000, on=["cortex-m4", "rv32imc"])
    assert found.differences == 0
    assert {tally.engine for tally in found.tallies} == {"cortex-m4", "rv32imc"}
    assert all(tally.samples > 0 for tally in found.tallies)


def test_generated_blocks_are_what_they_say():
    signal = SampleFormat(24_000, 3, bits=9)
    blocks = list(generated_blocks(signal, 200_000, 1))
    assert sum(len(block.data) for block in blocks) == 200_000
    assert all(a.stop == b.start for a, b in pairwise(blocks))
    assert len({len(block.data) for block in blocks}) > 50
    x = np.concatenate([block.data for block in blocks])
    assert (x.min(), x.max()) == (-256, 255)
    again = np.concatenate([block.data for block in generated_blocks(signal, 200_000, 1)])
    np.testing.assert_array_equal(x, again)
    assert not np.array_equal(x, np.concatenate([block.data for block in generated_blocks(signal, 200_000, 2)]))


def test_only_the_stage_that_is_wrong_is_named(tmp_path):
    engine = broken(tmp_path, "bandpass", "#define COEFFICIENT_BITS 29", "#define COEFFICIENT_BITS 28")
    signal = example_format(5)
    comparison = Comparison(FILTERS, signal, [engine])
    x = example_signal(2000, signal)
    for start in range(0, 2000, 500):
        comparison.take(Samples(start, x[start : start + 500]))
    adc, band, artefact = comparison.tallies
    assert adc.differences == artefact.differences == 0
    assert band.differences > 1000
    assert adc.samples == band.samples == artefact.samples == 10_000
    right = comparison.host.stages["band"]
    host = FILTERS.build(signal)
    expected = host.process(Samples(0, x[:500]))["band"].data
    codes = FILTERS.build(signal).process(Samples(0, x[:500]))["adc"]
    got = FILTERS.steps[1].stage(FILTERS.steps[1].parameters, host.formats["adc"], engine=engine).process(codes).data
    frame, channel = (int(i) for i in np.argwhere(got != expected)[0])
    place = f"sample {frame}, channel {channel}: {got[frame, channel]}, on the host {expected[frame, channel]}"
    assert band.first.startswith(f"band (bandpass) on native: {place}; its tables: sections = 2, gain = ")
    assert f"gain = {int(right.tables['gain'])}" in band.first


def test_spikes_that_differ(tmp_path):
    engine = broken(tmp_path, "threshold", "now > before && now >= after", "now > before && now > after")
    signal, plan = example_format(4), parse_chain(DETECTION.text + 'polarity = "both"\n')
    comparison = Comparison(plan, signal, [engine])
    x = np.repeat(example_signal(4000, signal), 2, axis=0)  # every peak is two samples wide
    comparison.take(Samples(0, x))
    assert comparison.tallies[0].differences == 0
    assert comparison.tallies[1].differences > 0
    assert "threshold (threshold) on native: " in comparison.tallies[1].first


def test_a_difference_is_exit_status_1(capsys, tmp_path, monkeypatch):
    engine = broken(tmp_path, "threshold", "#define MEAN_TO_MEDIAN 55401u", "#define MEAN_TO_MEDIAN 15401u")
    monkeypatch.setattr(verifying, "_engines", lambda *_: [engine])
    path = tmp_path / "detection.toml"
    path.write_text(DETECTION.text)
    assert run(["verify", str(path), "--generated", "60000", "--channels", "5"]) == 1
    text = capsys.readouterr().out
    assert "different: threshold (threshold) on native: " in text
    assert ", on the host " in text
    assert "factor = " in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["psoc68"], "verify: name a RECORDING, or say how many samples shall be --generated"),
        (["psoc68", "none.wav"], "none.wav"),
        (["psoc68", "--generated", "100", "--on", "mips"], "on: 'mips'; choose one of native, cortex-m4, rv32imc"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, complaint):
    assert run(["verify", *arguments]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_chain_without_twins_is_refused(monkeypatch):
    import firmware.comparing

    monkeypatch.setattr(firmware.comparing, "has", lambda _: False)
    with pytest.raises(BitspikeError, match="none of its stages has a C twin"):
        verify(FILTERS, generated=1000, facts={"channels": 2})
