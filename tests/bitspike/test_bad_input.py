"""Every kind of bad input: one clear line on standard error, status 2, and nothing left behind."""

from __future__ import annotations

import errno
import subprocess
import sys

import numpy as np
import pytest

from bitspike.main import run
from bitspike.training import train


@pytest.fixture
def noise(tmp_path):
    return np.random.default_rng(0).normal(0, 50, (24_000, 4)).astype(np.int16)


def test_missing_file(refused, tmp_path):
    assert refused("replay", tmp_path / "none.raw") == f"{tmp_path / 'none.raw'}: no such file or folder"
    assert "no such file" in refused("info", tmp_path / "none.raw")
    assert "no such file" in refused("train", tmp_path / "none.raw")


@pytest.mark.parametrize("name", ["a.raw", "a.npy", "a.wav", "a.mat", "a.rhd"])
def test_empty_file(refused, tmp_path, name):
    (tmp_path / name).touch()
    assert "is empty" in refused("replay", tmp_path / name, "--rate", 24000, "--channels", 4)


def test_truncated_raw_file(refused, tmp_path, noise):
    path = tmp_path / "a.raw"
    path.write_bytes(noise.tobytes()[:-3])
    line = refused("replay", path, "--rate", 24000, "--channels", 4)
    assert line.startswith(f"{path}: 191997 bytes are no whole number of frames of 4 channels of int16 (8 bytes)")


def test_truncated_folder_npy_and_wav(refused, tmp_path, recording, noise):
    from shutil import copytree

    copy = tmp_path / "copy"
    copytree(recording.path, copy)
    with (copy / "recording.raw").open("r+b") as file:
        file.truncate(1600)
    assert "truncated" in refused("replay", copy)
    np.save(tmp_path / "a.npy", noise)
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(5000)
    assert str(tmp_path / "a.npy") in refused("replay", tmp_path / "a.npy", "--rate", 24000)
    (tmp_path / "a.wav").write_bytes(b"RIFF\x10\0\0\0WAVEfmt ")
    assert str(tmp_path / "a.wav") in refused("replay", tmp_path / "a.wav")


def test_wrong_channel_count(refused, tmp_path, noise):
    (tmp_path / "a.raw").write_bytes(noise.tobytes()[:-2])
    assert "channels" in refused("replay", tmp_path / "a.raw", "--rate", 24000, "--channels", 7)
    np.save(tmp_path / "a.npy", noise)
    assert "channels" in refused("replay", tmp_path / "a.npy", "--rate", 24000, "--channels", 7)
    np.save(tmp_path / "b.npy", np.zeros((2400, 69), np.int16))
    line = refused("replay", tmp_path / "b.npy", "--rate", 24000, "--chain", "psoc68")
    assert "at most 68 channels, the recording has 69" in line
    assert "does not divide its 4 channels" in refused("replay", tmp_path / "a.npy", "--rate", 24000, "--group-size", 3)


def test_what_the_file_does_not_say(refused, tmp_path, noise):
    (tmp_path / "a.raw").write_bytes(noise.tobytes())
    assert "--channels" in refused("replay", tmp_path / "a.raw", "--rate", 24000)
    assert "--rate" in refused("replay", tmp_path / "a.raw", "--channels", 4)
    line = refused("replay", tmp_path / "a.raw", "--rate", -5, "--channels", 4)
    assert line == "rate_hz: -5.0 is not a number from 0.001 to 1e+09"


@pytest.mark.parametrize("command", ["replay", "train"])
@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--start", "nan", "start: nan s is not within the recording's 8 s"),
        ("--stop", "inf", "stop: inf s is no time; leave it out to go on to the recording's end"),
        ("--offset", "99999999999999999999", "is not a whole number from -2147483648 to 4294967295"),
        ("--bits", "99999999999999999999", "is not a whole number from 1 to 16"),
        ("--rate", "1e300", "rate_hz: 1e+300 is not a number from 0.001 to 1e+09"),
    ],
)
def test_numbers_out_of_range(refused, recording, command, option, value, says):
    assert says in refused(command, recording.path, option, value)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--rate", "1e-310", "rate_hz: 1e-310 is not a sampling rate"),
        ("--channels", "99999999999999999999", "a recording has 1 to 65536 channels"),
    ],
)
def test_formats_that_no_chain_can_have(refused, option, value, says):
    assert says in refused("info", "field", option, value)


@pytest.mark.parametrize("after", ["nan", "inf", "-inf", "8", "-1"])
def test_scores_after_the_end(refused, finished, after):
    line = refused("score", finished.path, "--after", after)
    assert line == f"after: {after} s; give a time from 0 to below 8 s, where {finished.path} ends"


@pytest.mark.parametrize("command", [("score",), ("report",), ("info",), ("replay", "{recording}", "--trained")])
def test_an_empty_folder_is_no_run(refused, recording, command):
    line = refused(*(part.format(recording=recording.path) for part in command), ".")
    assert line.startswith(".: a folder without a recording" if command == ("info",) else ".: holds no manifest.json")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_a_number(refused, tmp_path, bad):
    x = np.random.default_rng(0).normal(0, 0.05, (24_000, 2))
    x[20_000, 1] = bad
    np.save(tmp_path / "a.npy", x)
    line = refused("replay", tmp_path / "a.npy", "--rate", 24000, "--unit", "mV")
    assert str(tmp_path / "a.npy") in line
    assert "20000" in line


def test_unknown_format(refused, tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"something" * 100)
    assert str(tmp_path / "a.xyz") in refused("replay", tmp_path / "a.xyz")


@pytest.mark.parametrize(
    ("blocked", "arguments", "extra"),
    [
        ("matplotlib", ("replay", "{recording}", "--plot"), "plot"),
        ("matplotlib", ("report", "{run}"), "plot"),
        ("pynwb", ("export", "{run}", "--nwb", "units.nwb"), "ephys"),
        ("spikeinterface", ("simulate", "neural", "made"), "ephys"),
        ("spikeinterface", ("replay", "{rhd}"), "ephys"),
        ("matplotlib", ("demo",), "plot"),
    ],
)
def test_missing_extra(refused, monkeypatch, tmp_path, recording, finished, blocked, arguments, extra):
    rhd = tmp_path / "a.rhd"
    rhd.write_bytes(b"\x82\x08\x30\xf1" + bytes(500))
    for name in [module for module in sys.modules if module == blocked or module.startswith(f"{blocked}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, blocked, None)
    known = {"recording": recording.path, "run": finished.path, "rhd": rhd}
    line = refused(*(argument.format(**known) for argument in arguments))
    assert f"needs the '{extra}' extra: pip install 'bitspike[{extra}]'" in line


@pytest.mark.parametrize("where", ["bitspike.columns.Column.append", "bitspike.session.Session.checkpoint", "numpy.save"])
def test_full_disk(refused, monkeypatch, recording, chain_file, where):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bitspike.playing.CHECKPOINT_EVERY_NS", 0)
    monkeypatch.setattr(where, full)
    line = refused("replay", recording.path, "--chain", chain_file, "--out", "results/run", "--stop", 1)
    assert line == "results/run: the disk is full; free some space, or write to another disk"


def test_a_disk_that_is_really_full(tmp_path, recording, chain_file):
    """On Linux a file-size limit of the process stands for the full disk: a write fails in the middle of a file."""
    resource = pytest.importorskip("resource")

    def limit():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    code = "import numba; numba.config.CACHE_DIR; from bitspike.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "replay", recording.path, "--chain", chain_file, "--out", tmp_path / "run"],
        capture_output=True, text=True, check=False, preexec_fn=limit,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("bitspike: ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_no_permission(refused, monkeypatch, recording, chain_file):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/run.partial")

    monkeypatch.setattr("pathlib.Path.mkdir", denied)
    line = refused("replay", recording.path, "--chain", chain_file, "--out", "run")
    assert line == "/elsewhere/run.partial: no permission; choose another path, or change its permissions"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[stage]]\nname = 'bandpass'\nlow_hz = 9000", "low_hz = 9000: must lie between 0 and high_hz = 6000"),
        ("[[stage]]\nname = 'bandpas'", "no stage is named 'bandpas'"),
        ("[[stage]]\nname = 'bandpass'\nhigh_hz = 13000", "high_hz = 13000 must be below half the sampling rate"),
        ("[[stage", "not TOML"),
    ],
)
def test_a_chain_with_a_bad_value(refused, tmp_path, recording, text, says):
    (tmp_path / "mine.toml").write_text(text)
    assert says in refused("replay", recording.path, "--chain", tmp_path / "mine.toml")
    assert says in refused("info", tmp_path / "mine.toml", "--rate", 24000)


def test_bad_settings(refused, recording, chain_file):
    replay = ("replay", recording.path, "--chain", chain_file, "--set")
    assert "write LABEL.PARAMETER=VALUE" in refused(*replay, "threshold=5")
    assert "no stage is labelled 'filter'; there are: band, field" in refused(*replay, "filter.order=2")
    assert "no parameter 'colour'" in refused(*replay, "band.colour=2")
    assert "must be a number" in refused(*replay, "threshold.threshold=high")
    assert "chain nothing: no such file; packaged chains: camera, cytometry, field, implant16, probe, psoc68" in refused(
        "replay", recording.path, "--chain", "nothing"
    )


def test_field_potentials_have_their_own_chain(refused, tmp_path):
    np.save(tmp_path / "lfp.npy", np.zeros((5000, 1), np.int16))
    for chain in ("probe", "psoc68"):
        line = refused("replay", tmp_path / "lfp.npy", "--rate", 1250, "--chain", chain)
        assert "a rate of 1250 Hz leaves no band above low_hz = 300: for field potentials choose the chain field" in line


def test_bad_options_and_commands(refused, recording):
    assert refused("replay").startswith("Missing argument")
    assert "No such command" in refused("repaly")
    assert "--rate" in refused("replay", recording.path, "--rate", "fast")
    assert "speed: '3x'" in refused("replay", recording.path, "--speed", "3x")
    assert "--colour" in refused("replay", recording.path, "--colour")


def test_runs_that_are_none(refused, tmp_path, finished, recording):
    for command in ("score", "report", "export"):
        assert "holds no manifest.json" in refused(command, tmp_path, *(("--phy", "x") if command == "export" else ()))
    assert "say where to: --phy DIR or --nwb FILE" in refused("export", finished.path)
    assert "no such file" in refused("score", finished.path, tmp_path / "truth.npz")
    (tmp_path / "truth.npz").write_bytes(b"PK\x03\x04 no archive")
    assert "not a readable truth file" in refused("score", finished.path, tmp_path / "truth.npz")
    assert "holds no manifest.json" in refused("replay", recording.path, "--trained", tmp_path)
    assert "choose one of waveclus" in refused("data", "fetch", "everything")


@pytest.mark.parametrize("command", [("score", "{out}", "{truth}"), ("report", "{out}"), ("export", "{out}", "--phy", "made")])
def test_a_training_is_no_replay(refused, tmp_path, recording, chain_file, command):
    out = tmp_path / "trained"
    train(recording, chain_file, out)
    line = refused(*(part.format(out=out, truth=recording.path) for part in command))
    assert line.startswith(f"{out}: is a training, not a replay: run bitspike replay RECORDING --trained {out}, then ")


def test_errors_inside_are_one_line_too(refused, monkeypatch, recording):
    def broken(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("bitspike.runner.stretch", broken)
    line = refused("replay", recording.path)
    assert line == "internal error: ZeroDivisionError: division by zero (bitspike --debug shows where)"
    with pytest.raises(ZeroDivisionError):
        run(["--debug", "replay", str(recording.path)])


def test_json_prints_nothing_on_errors(capsys, tmp_path):
    assert run(["replay", str(tmp_path / "none.raw"), "--json"]) == 2
    assert capsys.readouterr().out == ""
