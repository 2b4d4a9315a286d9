"""The commands: what they print for people, one JSON document for programs, and their exit status."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from hashlib import sha256

import numpy as np
import pytest
from typer.testing import CliRunner

from bitspike.demo import compile_last_first
from bitspike.main import app, run
from pipeline.chain import packaged_chains, read_chain
from sensors.catalogue import Dataset, DatasetFile
from sensors.truth import Truth

PROGRAM = [sys.executable, "-c", "from bitspike.main import main; main()"]
COMMANDS = (
    "replay",
    "train",
    "score",
    "info",
    "convert",
    "report",
    "export",
    "simulate",
    "data",
    "stages",
    "demo",
    "tables",
    "verify",
    "cost",
)


def document(capsys, *arguments):
    """Run a command with ``--json`` and return the one document on standard output."""
    assert run([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def printed(capsys, *arguments):
    assert run(list(map(str, arguments))) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", [(), *[(c,) for c in COMMANDS], ("simulate", "neural"), ("data", "list"), ("data", "fetch")])
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    if not command:
        assert all(name in result.stdout for name in COMMANDS)
    elif command not in (("simulate",), ("data",)):
        assert "--json" in result.stdout


def test_help_and_version_need_nothing_heavy():
    code = "import sys; from bitspike.main import run; run(['--help']); run(['--version']); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"numpy", "scipy", "numba", "sklearn", "matplotlib", "spikeinterface"}
    assert "Usage: bitspike" in done.stdout


def test_help_answers_within_half_a_second():
    def seconds():
        before = os.times()
        subprocess.run([*PROGRAM, "--help"], capture_output=True, check=True)
        after = os.times()  # processor time: other programs on this machine do not count
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < 0.5


def test_replay_prints_what_happened(capsys, recording, chain_file, tmp_path):
    out = tmp_path / "run"
    text = printed(capsys, "replay", recording.path, "--chain", chain_file, "--out", out)
    for word in ("Spikes and units", "group", "unsorted", "units", "times real time", "worst", "dropped data", "none", "field"):
        assert word in text
    found = document(capsys, "replay", recording.path, "--chain", chain_file, "--out", out, "--stop", "4", "--block-ms", "3")
    assert found["out"] == str(out)
    assert found["counts"]["seconds"] == 4.0
    assert [g["group"] for g in found["counts"]["groups"]] == [0, 1]
    assert sum(unit["spikes"] for unit in found["units"]) == found["counts"]["spikes"] - found["counts"]["unsorted"]
    assert found["timings"]["block_us"]["worst"] >= found["timings"]["block_us"]["p99"] * 0.9


def test_score_train_and_info(capsys, recording, chain_file, finished, tmp_path):
    assert "Scored spikes" in printed(capsys, "score", finished.path)
    scored = document(capsys, "score", finished.path, recording.path / "truth.npz", "--after", "2")
    assert scored["detection"]["f1"] > 0.98
    assert scored["sorting"]["mean_accuracy"] > 0.9
    trained = document(capsys, "train", recording.path, "--chain", chain_file, "--out", tmp_path / "trained")
    assert trained["learned"] == ["sorter"]
    assert trained["tables"]["sorter"]["units"] >= 4
    assert document(capsys, "info", tmp_path / "trained") == {"kind": "training", **trained}
    assert f"sorter, {trained['tables']['sorter']['units']} units" in printed(capsys, "info", tmp_path / "trained")
    replayed = document(
        capsys, "replay", recording.path, "--chain", chain_file, "--trained", tmp_path / "trained", "--out", tmp_path / "run"
    )
    assert "trained" in replayed["run"]["learning"]
    assert document(capsys, "info", recording.path)["truth"]["units"] == 4
    assert document(capsys, "info", finished.path)["kind"] == "run"
    assert "electrode sites  known" in printed(capsys, "info", recording.path)
    assert "Units" in printed(capsys, "info", finished.path)


@pytest.mark.parametrize(
    ("snr", "after", "says"),
    [
        (3.0, "0", "there is no true unit of SNR 5 and above"),
        (9.0, "7.9", "no spike of the 4 units of SNR 5 and above"),
    ],
)
def test_a_score_without_a_unit_that_counts_says_so(capsys, recording, finished, tmp_path, snr, after, says):
    truth = recording.truth
    weak = np.append(np.full(truth.units, snr), 2.0)
    late = np.append(truth.sample[truth.sample < 7.8 * 24_000], round(7.95 * 24_000))  # the last one of a fifth unit, which is weak
    unit = np.append(truth.unit[: len(late) - 1], truth.units).astype(np.int32)
    channels, rates = np.append(truth.peak_channel, 0).astype(np.int32), np.append(truth.firing_hz, 0.1)
    Truth(late, unit, channels, weak, rates).write(tmp_path / "weak.npz")
    text = printed(capsys, "score", finished.path, tmp_path / "weak.npz", "--after", after)
    for name in ("detection", "sorting accuracy", "wave_clus rules"):
        assert re.search(rf"{name} +{says}", text)
    assert "nan" not in text
    assert "SpikeInterface" not in text


@pytest.mark.parametrize("name", [name for name in packaged_chains() if read_chain(name).sensor == "electrodes"])
def test_info_reports_the_design_of_a_chain(capsys, name):
    found = document(capsys, "info", name, "--rate", "24000", "--channels", "16")
    assert found["signal"]["channels"] == 16
    labels = [stage["label"] for stage in found["stages"]]
    if name != "field":
        band = found["stages"][labels.index("spike_band")]["report"]
        assert band["noise over the input's quantisation noise, dB"] < 0
        assert band["SNDR against float64, dB"] > 60
    assert "Proved and measured" in printed(capsys, "info", name)


def test_info_reports_a_chain_for_events(capsys):
    found = document(capsys, "info", "cytometry")
    assert found["signal"] == {"width": 640, "height": 480, "pitch_um": 15.0}
    assert "640 x 480" in printed(capsys, "info", "cytometry")


def test_info_designs_a_chain_for_a_recording(capsys, recording):
    found = document(capsys, "info", recording.path, "--chain", "psoc68")
    assert (found["signal"]["channels"], found["signal"]["groups"]) == (8, [0] * 4 + [1] * 4)


def test_parameters_can_be_set(capsys, recording, chain_file, tmp_path):
    changed = ("--set", "threshold.threshold=50", "--set", "threshold.polarity=positive", "--set", "band.order=1")
    found = document(capsys, "replay", recording.path, "--chain", chain_file, *changed, "--out", tmp_path / "run", "--stop", "1")
    assert found["counts"]["spikes"] == 0
    stages = json.loads((tmp_path / "run" / "manifest.json").read_text())["chain"]["stages"]
    given = {stage["label"]: stage["parameters"] for stage in stages}
    assert (given["threshold"]["threshold"], given["threshold"]["polarity"], given["band"]["order"]) == (50, "positive", 1)


def test_stages_are_listed_with_their_parameters(capsys):
    listed = {stage["name"]: stage for stage in document(capsys, "stages")}
    assert {"bandpass", "threshold", "exclusion", "sorter"} <= set(listed)
    for stage in listed.values():
        assert stage["purpose"]
        for parameter in stage["parameters"]:
            assert parameter["meaning"], f"{stage['name']}.{parameter['name']} is not described"
    assert "fraction_bits" in printed(capsys, "stages", "bandpass")


def test_data_is_listed(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("BITSPIKE_CACHE", str(tmp_path))
    names = {one["name"]: one for one in document(capsys, "data", "list")}
    assert names["waveclus"]["bytes"] == 257_950_406
    assert names["waveclus"]["path"] is None
    assert "Public recordings" in printed(capsys, "data", "list")


@pytest.fixture
def tiny(monkeypatch):
    """A data set of two small files as the only one of the catalogue, and what the files hold."""
    contents = {"a.raw": bytes(range(100)), "info.json": b'{"rate_hz": 1000, "channels": 2}'}
    files = tuple(DatasetFile(n, "https://nowhere.invalid", len(c), "sha256", sha256(c).hexdigest()) for n, c in contents.items())
    monkeypatch.setattr("sensors.datasets.DATASETS", (Dataset("tiny", "for tests", "", "CC0", files, "a.raw"),))
    return contents


def test_data_is_fetched_from_a_local_copy(capsys, tmp_path, monkeypatch, tiny):
    copy, cache = tmp_path / "copy", tmp_path / "cache"
    copy.mkdir()
    for name, content in tiny.items():
        (copy / name).write_bytes(content)
    found = document(capsys, "data", "fetch", "tiny", "--from", copy, "--cache", cache)
    assert found == {"name": "tiny", "path": str(cache / "tiny"), "opens": "a.raw"}
    assert {name: (cache / "tiny" / name).read_bytes() for name in tiny} == tiny
    assert [path.name for path in cache.iterdir()] == ["tiny"]
    assert document(capsys, "info", cache / "tiny" / found["opens"])["frames"] == 25
    monkeypatch.setenv("BITSPIKE_CACHE", str(cache))
    assert [one["path"] for one in document(capsys, "data", "list")] == [str(cache / "tiny")]


def test_a_local_copy_with_a_wrong_checksum_is_refused(capsys, tmp_path, tiny):
    (tmp_path / "a.raw").write_bytes(tiny["a.raw"][::-1])
    assert run(["data", "fetch", "tiny", "--from", str(tmp_path), "--cache", str(tmp_path / "cache")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"bitspike: {tmp_path}/a.raw: its sha256 is \w+, and that of a.raw is \w+: it is damaged\n", err)
    assert not (tmp_path / "cache" / "tiny").exists()


def test_simulate_writes_a_recording(capsys, tmp_path):
    pytest.importorskip("spikeinterface")
    options = ("--channels", "4", "--seconds", "1", "--units", "2", "--seed", "3", "--layout", "tetrodes")
    found = document(capsys, "simulate", "neural", tmp_path / "made", *options)
    assert (found["channels"], found["seconds"], found["truth"]["units"]) == (4, 1.0, 2)


def test_the_demo_scores_what_it_made(capsys, tmp_path):
    pytest.importorskip("spikeinterface")
    pytest.importorskip("matplotlib")
    found = document(capsys, "demo", "--out", tmp_path, "--seconds", "10")
    assert found["recording"]["channels"] == 68
    assert found["score"]["detection"]["f1"] > 0.97
    assert found["particles"]["score"]["found_share"] > 0.95
    assert found["particles"]["score"]["wrong_share"] < 0.1
    page = tmp_path / "result" / "report.html"
    sources = re.findall(r'<img src="([^"]+)"', page.read_text())
    assert "../cytometer/result/plots/montage.png" in sources
    assert all((page.parent / source).is_file() for source in sources)


@pytest.mark.parametrize("chain", packaged_chains())
def test_a_chain_can_be_compiled_from_its_end(chain):
    compile_last_first(chain)


def test_progress_and_chatter_stay_off_standard_output(recording, chain_file, tmp_path):
    out = tmp_path / "run"
    done = subprocess.run(
        [*PROGRAM, "replay", recording.path, "--chain", chain_file, "--out", out, "--stop", "1", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["out"] == str(out)


def test_an_interrupt_keeps_what_is_finished(recording, chain_file, tmp_path):
    command = [*PROGRAM, "replay", recording.path, "--chain", chain_file, "--out", tmp_path / "run"]
    process = subprocess.Popen([*command, "--speed", "1x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if (tmp_path / "run.partial" / "manifest.json").exists():
            break
        time.sleep(0.1)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("bitspike: stopped after ")
    assert err.splitlines()[-1].endswith("the same command with --resume continues")
    assert not (tmp_path / "run").exists()
    done = subprocess.run([*command, "--resume", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["run"]["resumed"] == 1


def test_a_reader_that_leaves_is_no_error(recording):
    shell = f"{sys.executable} -c 'from bitspike.main import main; main()' info {recording.path} | true"
    done = subprocess.run(["bash", "-c", f"{shell}; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_memory_does_not_grow_with_the_recording(chain_file, tmp_path):
    samples = np.random.default_rng(0).normal(0, 100, (24_000 * 5, 8)).astype(np.int16)
    peaks = []
    for repeats in (4, 32):
        path = tmp_path / f"{repeats}.raw"
        with path.open("wb") as file:
            for _ in range(repeats):
                file.write(samples.data)
        code = (
            "import resource, bitspike;"
            f"r = bitspike.open_recording('{path}', rate_hz=24000, channels=8);"
            f"bitspike.replay(r, '{chain_file}', '{tmp_path}/run{repeats}', learn='online');"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
    assert (tmp_path / "32.raw").stat().st_size > 60e6
    assert peaks[1] - peaks[0] < 12  # MiB


def test_import_is_quick_and_lazy():
    code = "import sys; import bitspike; assert 'numpy' not in sys.modules; bitspike.read_chain; assert 'numpy' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
