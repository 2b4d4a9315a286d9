"""What other programs read is what the run holds: SpikeInterface, Phy folders, NWB files."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from bitspike.chains import chosen_chain
from bitspike.export import export_nwb, export_phy, read_sorting, similarity
from bitspike.main import run as program
from bitspike.runner import replay
from pipeline.errors import BitspikeError


def trains(run):
    spikes = run.spikes
    return {unit.unit: spikes.sample[spikes.unit == unit.unit] for unit in run.units}


def test_spikeinterface_reads_a_run(finished):
    pytest.importorskip("spikeinterface")
    sorting = read_sorting(finished.path)
    assert sorting.get_sampling_frequency() == 24_000
    assert sorting.unit_ids.tolist() == [unit.unit for unit in finished.units]
    for unit, sample in trains(finished).items():
        np.testing.assert_array_equal(sorting.get_unit_spike_train(unit), sample)
    assert sorting.get_property("channel").tolist() == [unit.channel for unit in finished.units]


def test_phy_reads_back_equal(finished, recording, tmp_path):
    extractors = pytest.importorskip("spikeinterface.extractors")
    folder = export_phy(finished, tmp_path / "phy")
    sorting = extractors.read_phy(folder)
    assert sorting.get_sampling_frequency() == 24_000
    for unit, sample in trains(finished).items():
        np.testing.assert_array_equal(sorting.get_unit_spike_train(unit), sample)
    templates = np.load(folder / "templates.npy")
    np.testing.assert_array_equal(templates, finished.templates[[unit.unit for unit in finished.units]])
    clusters, rows = np.load(folder / "spike_clusters.npy"), np.load(folder / "spike_templates.npy")
    assert np.array([unit.unit for unit in finished.units])[rows].tolist() == clusters.tolist()
    params: dict = {}
    exec((folder / "params.py").read_text(), params)
    raw = np.memmap(params["dat_path"], params["dtype"], "r", params["offset"]).reshape(-1, params["n_channels_dat"])
    np.testing.assert_array_equal(raw[:1000], recording.read(0, 1000))
    sizes = {path.name: len(np.load(path)) for path in folder.glob("*.npy")}
    assert sizes["amplitudes.npy"] == sizes["spike_times.npy"] == sum(map(len, trains(finished).values()))
    assert sizes["channel_positions.npy"] == sizes["channel_map.npy"] == 8


def test_nwb_reads_back_equal(finished, tmp_path):
    pynwb = pytest.importorskip("pynwb")
    began = datetime(2024, 5, 17, 9, 30, tzinfo=UTC)
    path = export_nwb(finished, tmp_path / "units.nwb", began)
    with pynwb.NWBHDF5IO(str(path), "r") as file:
        nwb = file.read()
        assert nwb.session_start_time == began
        assert len(nwb.electrodes) == 8
        assert nwb.units.id[:].tolist() == [unit.unit for unit in finished.units]
        for row, (unit, sample) in enumerate(trains(finished).items()):
            np.testing.assert_allclose(nwb.units.get_unit_spike_times(row), sample / 24_000, rtol=1e-12)
            channel = finished.units[row].channel
            assert nwb.units["electrodes"][row].index.tolist() == [channel]
            volts = finished.templates[unit][:, channel] * finished.signal.uv_per_count * 1e-6
            np.testing.assert_allclose(np.squeeze(nwb.units["waveform_mean"][row]), volts, rtol=1e-6)


def test_nwb_has_no_volts_where_the_recording_has_none(loud, tmp_path):
    pynwb = pytest.importorskip("pynwb")
    run = replay(loud, chosen_chain("probe"), tmp_path / "run")
    with pynwb.NWBHDF5IO(str(export_nwb(run, tmp_path / "units.nwb")), "r") as file:
        units = file.read().units
        assert len(units) == len(run.units) >= 1
        assert "waveform_mean" not in units.colnames


def test_the_command_writes_both_and_replaces_nothing(finished, tmp_path, capsys):
    pytest.importorskip("pynwb")
    arguments = ["export", str(finished.path), "--phy", str(tmp_path / "phy"), "--nwb", str(tmp_path / "units.nwb")]
    assert program(arguments) == 0
    assert (tmp_path / "phy" / "params.py").exists()
    assert (tmp_path / "units.nwb").exists()
    assert program(arguments) == 2
    assert "exists already; choose another name, or remove it" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["phy", "units.nwb"]


def test_a_run_without_units_is_refused(recording, plan, tmp_path):
    empty = replay(recording, plan, tmp_path / "run", stop_s=0.2)
    with pytest.raises(BitspikeError, match="has no sorted units to export"):
        export_phy(empty, tmp_path / "phy")
    assert not (tmp_path / "phy").exists()


def test_similarity_is_the_cosine():
    templates = np.random.default_rng(0).normal(size=(4, 10, 3))
    flat = templates.reshape(4, -1)
    for a in range(4):
        for b in range(4):
            cosine = flat[a] @ flat[b] / np.linalg.norm(flat[a]) / np.linalg.norm(flat[b])
            assert similarity(templates)[a, b] == pytest.approx(cosine, abs=1e-6)
