"""Replay of events: what a run holds, and that it does not depend on how it was run."""

from __future__ import annotations

import json
import shutil
import signal
from itertools import pairwise

import numpy as np
import pytest

import bitspike.playing as playing
from bitspike.event_examples import MOST_PASSAGES, PASSAGE_US, BusiestWindow
from bitspike.event_replay import replay_events
from bitspike.event_runs import EventRun, is_event_run
from bitspike.main import run
from pipeline.blocks import EVENT_COLUMNS, PARTICLE_COLUMNS, Events
from pipeline.chain import parse_chain
from pipeline.checks import example_events, example_sensor
from pipeline.errors import BitspikeError
from sensors.events import open_events, write_events

CHAIN = """
[sensor]
kind = "events"

[[stage]]
name = "background"
window_us = 150
save = true

[[stage]]
name = "tracker"
seed_px = 4
seed_events = 6
reach_px = [12, 12]
least_events = 60
busy_events = 2
grid = [8, 6, 4]
cell_px = 5
follow = true
"""
SENSOR = example_sensor(80, 60)
EVENTS = example_events(20_000, SENSOR, seed=2)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "made.raw"
    write_events(path, [EVENTS], sensor=SENSOR)
    return path


def replayed(recording, folder, **how):
    return replay_events(recording, parse_chain(CHAIN, "small"), folder, **how)


def test_a_run_is_what_the_chain_gives(recording, tmp_path):
    done = replayed(recording, tmp_path / "run")
    chain = parse_chain(CHAIN).build(open_events(recording).format)
    events = open_events(recording).read()
    outputs, rest = chain.process(events), chain.finish()
    assert is_event_run(done.path)
    assert done.sensor.width == SENSOR.width
    for name in EVENT_COLUMNS:
        assert np.array_equal(getattr(done.events("background"), name), getattr(outputs["background"], name))
    assert len(done.particles) == len(outputs["tracker"]) + len(rest["tracker"]) > 5
    for name in PARTICLE_COLUMNS:
        expected = np.concatenate([getattr(outputs["tracker"], name), getattr(rest["tracker"], name)])
        assert np.array_equal(getattr(done.particles, name), expected), name
    counts = done.manifest.counts
    assert counts["events"] == len(EVENTS)
    assert counts["kept"] == {"background": len(outputs["background"])}
    assert counts["particles"] == len(done.particles)


def results(run):
    """Return all files of a run but its tables, which are laid out for the engine, and what its manifest says of the result."""
    files = {p.relative_to(run.path).as_posix(): p.read_bytes() for p in run.path.rglob("*.npy") if "tables" not in p.parts}
    return files, run.manifest.counts, run.manifest.outputs


@pytest.fixture(scope="module")
def whole(recording, tmp_path_factory):
    run = replayed(recording, tmp_path_factory.mktemp("runs") / "whole")
    assert len(run.particles) > 5
    return run


@pytest.mark.parametrize(("block_ms", "on"), [(0.137, "host"), (10.0, "native"), (60_000.0, "host")])
def test_the_result_depends_on_the_recording_and_the_chain_only(recording, whole, tmp_path, block_ms, on):
    assert results(replayed(recording, tmp_path / "run", block_ms=block_ms, on=on)) == results(whole)
    assert "particles/tensor.npy" in results(whole)[0]


@pytest.mark.parametrize(("leap_us", "on"), [(30_000_000, "host"), (9 * 3_600_000_000, "host"), (5_000_000_000, "native")])
def test_a_long_silence_changes_nothing(tmp_path, monkeypatch, leap_us, on):
    """It begins amid a passage; the same events without it, and block by block, are the measure."""
    late = EVENTS.t_us + leap_us * (np.arange(len(EVENTS)) >= len(EVENTS) // 2)
    path = write_events(tmp_path / "a.npy", [Events(0, 0, late, EVENTS.x, EVENTS.y, EVENTS.p)], sensor=SENSOR)
    source = open_events(path, SENSOR.width, SENSOR.height)
    quick = replayed(source, tmp_path / "quick", on=on)
    assert quick.manifest.timings["blocks"] < 150
    monkeypatch.setattr("sensors.events.source.SILENCE", 1 << 62)
    plain = replayed(source, tmp_path / "plain", block_ms=30.0 if leap_us < 1e9 else 60_000.0)
    assert results(quick) == results(plain)
    assert len(quick.particles) > 5


def test_a_damaged_time_of_centuries_is_replayed(tmp_path):
    times = EVENTS.t_us.copy()
    times[-1] = 1 << 55
    path = write_events(tmp_path / "a.npy", [Events(0, 0, times, EVENTS.x, EVENTS.y, EVENTS.p)], sensor=SENSOR)
    done = replayed(open_events(path, SENSOR.width, SENSOR.height), tmp_path / "run")
    assert done.manifest.counts["events"] == len(EVENTS)
    assert done.manifest.timings["blocks"] < 100


@pytest.mark.parametrize("how", [{"block_ms": 1.0}, {"block_ms": 0.237}, {"block_ms": 1.3, "speed": "1x"}])
def test_stopped_and_resumed_is_the_same(recording, whole, tmp_path, monkeypatch, how):
    monkeypatch.setattr(playing, "PROGRESS_EVERY_NS", 0)
    stops = iter([0.004, 0.0113, 99.0])
    limit = next(stops)

    def interrupt(done, _total):
        nonlocal limit
        if done > limit:
            limit = next(stops)
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "run"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt, match="the same command with --resume continues"):
            replayed(recording, out, resume=True, progress=interrupt, **how)
        assert not out.exists()
    resumed = replayed(recording, out, resume=True, progress=interrupt)
    assert results(resumed) == results(whole)
    assert resumed.manifest.run["resumed"] == 2
    assert list(tmp_path.iterdir()) == [out]


def test_only_the_same_recording_and_chain_are_resumed(recording, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(playing, "PROGRESS_EVERY_NS", 0)

    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        replayed(recording, tmp_path / "run", progress=interrupt)
    with pytest.raises(BitspikeError, match="it was interrupted: replay with --resume"):
        EventRun(tmp_path / "run")
    assert run(["info", str(tmp_path / "run")]) == 2
    assert "it was interrupted: replay with --resume" in capsys.readouterr().err
    other = tmp_path / "other.raw"
    write_events(other, [example_events(20_000, SENSOR, seed=3)], sensor=SENSOR)
    for again, chain in ((other, CHAIN), (recording, CHAIN.replace("150", "160"))):
        with pytest.raises(BitspikeError, match="is of another recording, stretch or chain; leave out --resume"):
            replay_events(again, parse_chain(chain, "small"), tmp_path / "run", resume=True)


def test_the_busiest_stretch_is_kept(recording, whole):
    kept, about = whole.events("background"), whole.manifest.outputs["window"]
    first = int(EVENTS.t_us[0])
    counts = np.bincount((np.asarray(kept.t_us) - first) // 1000)
    assert about["start"] == first + 1000 * int(counts.argmax())
    assert about["stop"] == about["start"] + 1000
    for name, events in (("kept", kept), ("seen", EVENTS)):
        inside = (events.t_us >= about["start"]) & (events.t_us < about["stop"])
        assert inside.sum() > 20
        for column in EVENT_COLUMNS:
            assert np.array_equal(getattr(whole.window(name), column), getattr(events, column)[inside])


def test_passages_are_kept_with_their_events(whole):
    found = whole.particles
    every = -(-len(found) // MOST_PASSAGES)
    assert every > 1
    assert list(whole.passages) in [list(range(0, len(found), n)) for n in (every, every + 1, 2 * every)]
    assert len(whole.passages) > MOST_PASSAGES // 2
    for number, events in whole.passages.items():
        begin = max(found.first_us[number], found.last_us[number] - PASSAGE_US + 1)
        left, top, right, bottom = found.box[number]
        inside = (EVENTS.t_us >= begin) & (EVENTS.t_us <= found.last_us[number])
        inside &= (EVENTS.x >= left) & (EVENTS.x <= right) & (EVENTS.y >= top) & (EVENTS.y <= bottom)
        assert inside.sum() > 20
        for column in EVENT_COLUMNS:
            assert np.array_equal(getattr(events, column), getattr(EVENTS, column)[inside])


def test_a_stretch_of_it(recording, tmp_path):
    done = replayed(recording, tmp_path / "run", start_s=0.005, stop_s=0.012)
    first = int(EVENTS.t_us[0])
    assert done.manifest.counts["events"] == np.count_nonzero((EVENTS.t_us >= first + 5000) & (EVENTS.t_us < first + 12_000))
    assert done.seconds == pytest.approx(0.007)


def test_on_the_command_line(recording, tmp_path, capsys):
    command = ["replay", str(recording), "--chain", "cytometry", "--out", str(tmp_path / "run")]
    assert run([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    counts = found["counts"]
    assert counts["events"] == len(EVENTS)
    assert list(counts["kept"]) == ["hot_pixels", "rate_guard", "background"]
    assert {"particles", "doublets", "sorted", "damage"} < set(counts)
    assert found["rates"]["events_per_s"] == pytest.approx(len(EVENTS) / counts["seconds"])
    assert set(found["rates"]) == {"events_per_s", "particles_per_s"}
    assert set(found["timings"]["block_us"]) == {"median", "p99", "worst"}
    assert found["run"]["block_ms"] == 1.0
    assert run(["info", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == counts
    assert run(command) == 0
    said = capsys.readouterr().out
    for words in ("particles", "doublets", "a second", "of 1 ms batches: median", "99 % within", "worst", f"{len(EVENTS):,}"):
        assert words in said


def test_the_chain_that_is_chosen_where_none_is_named(recording, tmp_path, capsys):
    assert run(["replay", str(recording), "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "chain      camera" in said
    assert "not looked for; --chain cytometry does" in said
    made = tmp_path / "made"
    made.mkdir()
    (made / "info.json").write_text(json.dumps({"format": "bitspike simulated cytometer"}))
    shutil.copy(recording, made / "recording.raw")
    for path in (made, made / "recording.raw"):
        assert run(["replay", str(path), "--out", str(tmp_path / "run"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["chain"] == "cytometry"
    assert run(["info", str(made), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == len(EVENTS)
    assert run(["info", str(recording), "--chain", "camera", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signal"]["width"] == SENSOR.width


@pytest.mark.parametrize("option", [("--learn", "online"), ("--trained", "x")])
def test_options_for_samples_are_refused(recording, option, capsys):
    assert run(["replay", str(recording), "--chain", "cytometry", *option]) == 2
    assert "not for event recordings" in capsys.readouterr().err


def test_what_cannot_be_replayed_is_refused(recording, tmp_path):
    for how, words in (
        ({"start_s": 9.0}, "start"),
        ({"start_s": 0.01, "stop_s": 0.005}, "stop"),
        ({"block_ms": 0.0}, "block_ms"),
        ({"speed": "2x"}, "speed"),
        ({"on": "toaster"}, "on"),
    ):
        with pytest.raises(BitspikeError, match=words):
            replayed(recording, tmp_path / "run", **how)
    with pytest.raises(BitspikeError, match="is for electrodes"):
        replay_events(recording, "probe", tmp_path / "run")
    with pytest.raises(BitspikeError, match="saved no events"):
        replayed(recording, tmp_path / "run").events("tracker")
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]
    text = '[sensor]\nkind = "events"\n[[stage]]\nname = "polarity"\n'
    without = replay_events(recording, parse_chain(text), tmp_path / "other")
    with pytest.raises(BitspikeError, match="finds no particles"):
        _ = without.particles


@pytest.mark.parametrize("seed", range(6))
def test_the_busiest_window_of_any_split(seed):
    """Blocks shorter and longer than a window, silences, and a checkpoint in between; counting all windows is the measure."""
    rng = np.random.default_rng(seed)
    t = 7 + np.sort(np.concatenate([rng.integers(0, 9000, 300), 40_000 + rng.integers(0, 3000, 300)]))
    events = Events(7, 43_007, t, rng.integers(0, 80, 600).astype("u2"), rng.integers(0, 60, 600).astype("u2"), np.ones(600, "u1"))
    left = rng.random(600) < 0.7
    edges = np.unique([7, *rng.integers(7, 43_007, 8 << seed), 43_007]).tolist()
    window = BusiestWindow(7, 500)
    for start, stop in pairwise(edges):
        inside = (t >= start) & (t < stop)
        seen, kept = (
            Events(start, stop, *(getattr(events, name)[chosen] for name in EVENT_COLUMNS)) for chosen in (inside, inside & left)
        )
        window.take(seen, kept)
        if rng.random() < 0.1:
            window = BusiestWindow(7, 500, window.checkpoint())
    best = int(np.bincount((t[left] - 7) // 500).argmax())
    (start, stop), found = window.result()
    assert (start, stop) == (7 + 500 * best, 507 + 500 * best)
    for name, chosen in (("seen", (t - 7) // 500 == best), ("kept", ((t - 7) // 500 == best) & left)):
        for column in EVENT_COLUMNS:
            assert np.array_equal(found[name][column], getattr(events, column)[chosen])
