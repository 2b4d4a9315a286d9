"""Replay: the same bytes for any blocks, speed, engine and interruption; and folders that are whole or not there."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

import bitspike.playing as playing
from bitspike.chains import chosen_chain
from bitspike.main import run as program
from bitspike.printed import _full_scale
from bitspike.runner import replay
from bitspike.runs import Run
from bitspike.training import train
from pipeline.blocks import Samples, Spikes
from pipeline.chain import parse_chain
from pipeline.errors import BitspikeError
from sensors.folder import write_folder
from sensors.recording import open_recording
from sensors.source import Recording

STOP_S = 5.0


def digests(run: Run) -> dict[str, str]:
    """Return the SHA-256 of everything in a run's folder, and of what its manifest says apart from how it went."""
    files = sorted(path for path in run.path.rglob("*") if path.is_file() and path.name != "manifest.json")
    found = {str(path.relative_to(run.path)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    document = json.loads((run.path / "manifest.json").read_text())
    for went in ("run", "timings"):
        document.pop(went)
    found["manifest.json"] = json.dumps(document)
    return found


@pytest.fixture(scope="module")
def expected(recording, plan, tmp_path_factory):
    run = replay(recording, plan, tmp_path_factory.mktemp("expected") / "run", stop_s=STOP_S)
    assert len(run.spikes) > 150
    assert len(run.units) >= 4
    return digests(run)


@pytest.mark.parametrize("block_ms", [0.04, 1.0, 7.3, 100.0, 60_000.0])
def test_blocks_change_nothing(recording, plan, expected, tmp_path, block_ms):
    assert digests(replay(recording, plan, tmp_path / "run", stop_s=STOP_S, block_ms=block_ms)) == expected


def test_real_time_changes_nothing_but_the_clock(recording, plan, tmp_path):
    quick = replay(recording, plan, tmp_path / "quick", stop_s=1.5)
    slow = replay(recording, plan, tmp_path / "slow", stop_s=1.5, speed="1x", block_ms=20)
    assert digests(slow) == digests(quick)
    assert 0.5 < slow.manifest.timings["times_real_time"] <= 1.01
    assert slow.manifest.timings["blocks"] == 75


@pytest.mark.parametrize("learn", ["first", "online"])
@pytest.mark.parametrize("block_ms", [(10.0, 10.0), (3.7, 41.0)])
def test_stopped_and_resumed_is_the_same(recording, plan, tmp_path, monkeypatch, learn, block_ms):
    whole = replay(recording, plan, tmp_path / "whole", stop_s=STOP_S, learn=learn)
    monkeypatch.setattr(playing, "PROGRESS_EVERY_NS", 0)
    stops = iter([1.1, 2.9, 99.0])
    limit = next(stops)

    def interrupt(done, _total):
        nonlocal limit
        if done > limit:
            limit = next(stops)
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "run"
    for again in range(2):
        with pytest.raises(KeyboardInterrupt, match=r"stopped after .* of 5.0 s; the same command with --resume continues"):
            replay(recording, plan, out, stop_s=STOP_S, learn=learn, block_ms=block_ms[again], resume=True, progress=interrupt)
        assert not out.exists()
        with pytest.raises(BitspikeError, match="it was interrupted: replay with --resume"):
            Run(out)
    resumed = replay(recording, plan, out, stop_s=STOP_S, learn=learn, resume=True, progress=interrupt)
    assert digests(resumed) == digests(whole)
    assert resumed.manifest.run["resumed"] == 2
    assert list(tmp_path.glob("run.partial")) == []


def test_a_checkpoint_of_another_chain_or_recording_is_not_continued(recording, plan, tmp_path, monkeypatch):
    monkeypatch.setattr(playing, "PROGRESS_EVERY_NS", 0)

    def interrupt(done, _total):
        if done > 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        replay(recording, plan, tmp_path / "run", stop_s=STOP_S, progress=interrupt)
    other = parse_chain(plan.text.replace("threshold = 5", "threshold = 6"), "small")
    with pytest.raises(BitspikeError, match="is of another recording, stretch or chain; leave out --resume"):
        replay(recording, other, tmp_path / "run", stop_s=STOP_S, resume=True)
    with pytest.raises(BitspikeError, match="is of another recording"):
        replay(recording, plan, tmp_path / "run", stop_s=4.0, resume=True)
    checkpoint = tmp_path / "run.partial" / "checkpoint.npz"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BitspikeError, match=r"checkpoint.npz: damaged .*leave out --resume to start anew"):
        replay(recording, plan, tmp_path / "run", stop_s=STOP_S, resume=True)
    assert checkpoint.exists()  # what was there is left as it was
    assert replay(recording, plan, tmp_path / "run", stop_s=1.0).path == tmp_path / "run"
    assert not checkpoint.exists()


def test_what_is_kept_is_what_the_chain_gives(recording, plan, finished):
    signal_format = recording.format
    chain = plan.build(signal_format, {"sorter": finished.tables["sorter"]})
    x = recording.read()
    outputs, rest = chain.process(Samples(0, x)), chain.finish()
    spikes: Spikes = outputs["sorter"]
    sample = np.concatenate([spikes.sample, rest["sorter"].sample])
    order = np.lexsort((np.concatenate([spikes.channel, rest["sorter"].channel]), sample))
    for name in ("sample", "channel", "amplitude", "unit"):
        column = np.concatenate([getattr(spikes, name), getattr(rest["sorter"], name)])[order]
        np.testing.assert_array_equal(getattr(finished.spikes, name), column)
    np.testing.assert_array_equal(finished.tap("field"), outputs["field"].data)
    about = finished.taps["field"]
    assert (about["rate_hz"], about["channels"], about["stretches"]) == (1000.0, 8, [[0, len(outputs["field"].data)]])
    first, frames = finished.manifest.outputs["traces"]["stretches"][0]
    assert frames == 6000
    np.testing.assert_array_equal(finished.array("traces"), outputs["band"].data[first : first + frames])


def test_units_are_what_their_spikes_make_them(finished, recording, plan):
    band = plan.build(recording.format).process(Samples(0, recording.read()))["band"].data
    spikes, before, width = finished.spikes, finished.before, finished.templates.shape[1]
    assert (
        sum(unit.spikes for unit in finished.units)
        == (spikes.unit >= 0).sum()
        == finished.manifest.counts["spikes"] - finished.manifest.counts["unsorted"]
    )
    for unit in finished.units:
        mine = spikes.sample[spikes.unit == unit.unit]
        assert (len(mine), unit.rate_hz) == (unit.spikes, pytest.approx(len(mine) / 8.0, abs=1e-3))
        inside = mine[(mine >= before) & (mine < len(band) - width)][:100]
        mean = np.mean([band[s - before : s - before + width] for s in inside], axis=0)
        template = finished.templates[unit.unit]
        assert (
            np.abs(template - mean).max() < 0.05 * np.abs(mean).max()
        )  # the hundred are taken in the order of decision, not of time
        assert unit.channel == np.unravel_index(np.abs(template).argmax(), template.shape)[1]
        height = template[np.abs(template).max(axis=1).argmax(), unit.channel]
        assert unit.amplitude == pytest.approx(height * finished.signal.input_counts, abs=0.01)
        assert unit.amplitude_uv == pytest.approx(height * finished.signal.uv_per_count, abs=0.01)
    truth_channels = set(recording.truth.peak_channel.tolist())
    assert truth_channels <= {unit.channel for unit in finished.units}


def test_units_stay_in_the_group_that_found_them(recording, plan, tmp_path):
    """Two groups see the same: each unit is on a channel of the group that its spikes are in."""
    twice = np.tile(recording.read()[:, :4], 2)
    write_folder(tmp_path / "twice", recording.format, [twice])
    found = replay(tmp_path / "twice", plan, tmp_path / "run")
    group = found.signal.group_of
    for unit in found.units:
        channels = found.spikes.channel[found.spikes.unit == unit.unit]
        assert set(group[channels].tolist()) == {unit.group} == {int(group[unit.channel])}
    assert {unit.group for unit in found.units} == {0, 1}


def test_trained_tables_are_used_again(recording, plan, finished, tmp_path):
    trained = train(recording, plan, tmp_path / "trained")
    assert trained.manifest.run["learned"] == ["sorter"]
    again = replay(recording, plan, tmp_path / "again", trained=trained.path)
    assert digests(again) == digests(finished)
    later = replay(recording, plan, tmp_path / "later", start_s=4.0, trained=finished)
    known = finished.spikes.sample >= 4.2 * 24_000
    assert np.isin(finished.spikes.sample[known], later.spikes.sample).mean() > 0.98
    other = parse_chain(plan.text.replace("threshold = 5", "threshold = 6"), "small")
    with pytest.raises(BitspikeError, match=r"was trained with other stages or parameters; train again with chain small"):
        replay(recording, other, tmp_path / "other", trained=trained)
    with pytest.raises(BitspikeError, match="no stage learns"):
        train(recording, parse_chain("[[stage]]\nname='bandpass'"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_learning_on_line_sorts_what_follows(recording, plan, tmp_path):
    run = replay(recording, plan, tmp_path / "run", learn="online")
    unsorted = run.spikes.unit < 0
    assert run.spikes.sample[unsorted].size > 100
    late = run.spikes.sample > 6 * 24_000
    assert unsorted[late].mean() < 0.1
    assert run.tables["sorter"]["learned"] == 1
    assert replay(recording, plan, tmp_path / "again", trained=run).manifest.counts["unsorted"] < 30


@pytest.mark.parametrize(("on", "stop_s"), [("native", STOP_S), ("cortex-m4", 0.5), ("rv32imc", 0.5)])
def test_every_engine_gives_the_same(recording, plan, tmp_path, on, stop_s):
    if on != "native":
        pytest.importorskip("unicorn")
        pytest.importorskip("ziglang")

    def results(run):  # tables are laid out for the channels that an engine has room for
        return {name: digest for name, digest in digests(run).items() if not name.startswith(("tables/", "manifest"))}

    here = replay(recording, plan, tmp_path / "here", stop_s=stop_s)
    there = replay(recording, plan, tmp_path / "there", stop_s=stop_s, on=on)
    assert there.manifest.run["engine"].startswith(on)
    assert len(here.spikes) > 5
    assert results(there) == results(here)


def test_too_little_to_learn_from_leaves_spikes_unsorted(recording, plan, tmp_path):
    run = replay(recording, plan, tmp_path / "run", stop_s=0.2)
    assert "too few" in run.manifest.run["learning"]
    assert run.units == []
    assert run.manifest.counts["spikes"] == run.manifest.counts["unsorted"]


def test_gaps_are_counted_and_their_stretches_kept(recording, plan, tmp_path):
    class Gappy(Recording):
        def blocks(self, size, start=0, stop=None):
            for block in super().blocks(size, start, stop):
                if not 48_000 <= block.start < 55_200:
                    yield block

    gappy = Gappy(recording.path, "test", recording.format, recording.frames, recording._read, recording.files)
    run = replay(gappy, plan, tmp_path / "run", stop_s=STOP_S)
    assert run.manifest.counts["lost_frames"] == 7200
    assert run.manifest.counts["frames"] == 120_000 - 7200
    assert run.taps["field"]["stretches"] == [[0, 2000], [2300, 2700]]
    assert len(run.tap("field")) == 4700
    inside = (run.spikes.sample >= 48_000) & (run.spikes.sample < 55_200)
    assert not inside.any()


def test_a_result_is_replaced_when_the_new_one_is_complete(recording, plan, tmp_path, monkeypatch):
    out = tmp_path / "run"
    first = replay(recording, plan, out, stop_s=0.5)
    before = digests(first)

    def broken(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("bitspike.columns.Column.append", broken)
        with pytest.raises(OSError, match="No space left"):
            replay(recording, plan, out, stop_s=1.0)
    assert digests(Run(out)) == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert replay(recording, plan, out, stop_s=1.0).manifest.recording["stop"] == 24_000


def test_other_folders_are_left_alone(recording, plan, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BitspikeError, match="is there already and is not the result of a replay"):
        replay(recording, plan, tmp_path / "mine", stop_s=0.1)
    (tmp_path / "new.partial").mkdir()
    (tmp_path / "new.partial" / "thesis.txt").write_text("years of work")
    with pytest.raises(BitspikeError, match="is there already and is not the result of a replay"):
        replay(recording, plan, tmp_path / "new", stop_s=0.1)
    assert (tmp_path / "mine" / "thesis.txt").exists()
    assert (tmp_path / "new.partial" / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"speed": "2x"}, "speed: '2x'; choose one of max, 1x"),
        ({"on": "abacus"}, "on: 'abacus'; choose one of host, native"),
        ({"learn": "never"}, "learn: 'never'; choose one of first, online"),
        ({"block_ms": 0.0}, "block_ms: 0; give a length"),
        ({"block_ms": float("nan")}, "block_ms: nan"),
        ({"start_s": 8.0}, "start: 8 s is not within the recording's 8 s"),
        ({"start_s": float("nan")}, "start: nan"),
        ({"start_s": float("inf")}, "start: inf"),
        ({"stop_s": float("nan")}, "stop: nan s is not after the start"),
        ({"stop_s": float("inf")}, "stop: inf s is no time; leave it out to go on to the recording's end"),
        ({"start_s": 2.0, "stop_s": 1.0}, "stop: 1 s is not after the start, 2 s"),
    ],
)
def test_bad_options_are_named(recording, plan, tmp_path, options, says):
    with pytest.raises(BitspikeError, match=says):
        replay(recording, plan, tmp_path / "run", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_run_is_refused(finished, tmp_path):
    with pytest.raises(BitspikeError, match=r"holds no manifest.json, so it is not the result of a replay"):
        Run(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(BitspikeError, match=r"format is None, expected 'bitspike run 1'; replay the recording again"):
        Run(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BitspikeError, match="not JSON"):
        Run(tmp_path)
    (tmp_path / "manifest.json").write_text((finished.path / "manifest.json").read_text())
    with pytest.raises(BitspikeError, match=r"sample.npy: missing or damaged .*replay the recording again"):
        _ = Run(tmp_path).spikes
    (tmp_path / "tables").mkdir()
    for label in finished.tables:
        np.save(tmp_path / "tables" / f"{label}.npy", np.zeros(3))
    with pytest.raises(BitspikeError, match=r"is not what manifest.json says"):
        _ = Run(tmp_path).tables
    with pytest.raises(BitspikeError, match="saved no samples of 'band'; it has: field"):
        finished.tap("band")


def test_the_default_folder_is_named_after_both(recording, plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert replay(recording, plan, stop_s=0.1).path == Path(tmp_path / "out" / "small-small")


def test_the_default_folder_is_of_one_recording(recording, plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in ("one", "two"):
        shutil.copytree(recording.path, tmp_path / place / "small")
    first = replay("one/small", plan, stop_s=0.1)
    again = replay(tmp_path / "one" / "small", plan, stop_s=0.2)
    assert (first.path, again.seconds) == (again.path, 0.2)
    said = r"^out/small-small: has the result of .*one/small, and this is two/small; choose another folder with --out$"
    with pytest.raises(BitspikeError, match=said):
        replay("two/small", plan, stop_s=0.1)
    assert Run(again.path).seconds == 0.2
    assert replay("two/small", plan, again.path, stop_s=0.1).path == again.path  # as it was said where to
    again.path.rename(again.path.with_name("small-small.partial"))
    with pytest.raises(BitspikeError, match=r"out/small-small.partial: has the result of two/small, and this is one/small"):
        replay("one/small", plan, stop_s=0.1)
    train("one/small", plan)
    with pytest.raises(BitspikeError, match=r"^out/small-small-trained: has the result of one/small, and this is two/small"):
        train("two/small", plan)


def test_it_is_said_that_there_is_nothing_to_resume(recording, chain_file, tmp_path, capsys):
    command = ["replay", str(recording.path), "--chain", str(chain_file), "--stop", "0.1", "--json", "-o", str(tmp_path / "run")]
    assert program([*command, "--resume"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["run"]["resumed"] == 0
    assert err == f"bitspike: {tmp_path}/run: there was nothing to resume, so the replay began anew\n"
    assert program(command) == 0
    assert capsys.readouterr().err == ""


def test_cut_peaks_are_counted_and_the_cure_works(loud, tmp_path):
    cut = replay(loud, chosen_chain("probe"), tmp_path / "cut")
    assert cut.manifest.counts["at_full_scale"] > 150
    printed = str(_full_scale(cut))
    assert "±8,192 counts: their peaks are cut; replay with --set spike_band.fraction_bits=0" in printed
    whole = replay(loud, chosen_chain("probe", ["spike_band.fraction_bits=0"]), tmp_path / "whole")
    assert whole.manifest.counts["at_full_scale"] == 0
    assert cut.units[0].amplitude == -8192
    assert -20_000 < whole.units[0].amplitude < -10_000


def test_amplitudes_are_in_counts_of_the_recording(loud, tmp_path):
    """Whatever fractional bits the band has, where the recording does not say its microvolts."""
    small = tmp_path / "small.npy"
    np.save(small, loud.read(0, loud.frames) // 8)
    recording = open_recording(small, rate_hz=24_000)
    chains = [chosen_chain("probe"), chosen_chain("probe", ["spike_band.fraction_bits=0"])]
    runs = [replay(recording, chain, tmp_path / str(k)) for k, chain in enumerate(chains)]
    assert [run.signal.scale for run in runs] == [(0.25, "counts"), (1.0, "counts")]
    assert runs[0].units[0].amplitude == pytest.approx(runs[1].units[0].amplitude, rel=0.01)
    assert runs[0].units[0].amplitude_uv is None
