"""Blocks, pieces and seeking: the same events however they are asked for."""

from __future__ import annotations

import hashlib
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from sensors.events import open_events, source, words, write_events

SENSOR = EventFormat(200, 150)
COLUMNS = ("t_us", "x", "y", "p")


def joined(blocks):
    return [np.concatenate([getattr(b, c) for b in blocks]) for c in COLUMNS]


@pytest.fixture(params=["evt3", "dat", "npy", "csv"])
def recording(request, tmp_path, made, monkeypatch):
    """A recording of which a piece is small."""
    monkeypatch.setattr(words, "CHUNK_BYTES", 10_000)
    monkeypatch.setattr("sensors.events.npy.ROWS", 1000)
    monkeypatch.setattr("sensors.events.csv.CHUNK_BYTES", 10_000)
    suffix = {"evt3": ".raw", "dat": ".dat"}.get(request.param, f".{request.param}")
    return open_events(write_events(tmp_path / f"a{suffix}", [made], request.param, sensor=SENSOR))


@pytest.mark.parametrize("us", [1, 100, 12_345, 1 << 40])
def test_blocks_cover_time_without_a_gap(recording, made, us):
    stop = made.start + 30_000 if us == 1 else None
    blocks = list(recording.blocks(us, stop=stop))
    chosen = made.t_us < (stop or made.stop)
    for got, column in zip(joined(blocks), COLUMNS, strict=True):
        np.testing.assert_array_equal(got, getattr(made, column)[chosen])
    assert blocks[0].start == made.start
    assert blocks[-1].stop == (stop or made.stop)
    assert all(a.stop == b.start for a, b in pairwise(blocks))
    assert all(b.stop - b.start == us for b in blocks[:-1])
    assert all(b.start <= b.t_us[0] and b.t_us[-1] < b.stop for b in blocks if len(b))


def test_pieces_are_the_whole(recording, made):
    pieces = list(recording.pieces())
    assert len(pieces) > 3
    for got, column in zip(joined(pieces), COLUMNS, strict=True):
        np.testing.assert_array_equal(got, getattr(made, column))
    assert all(p.start == p.t_us[0] and p.stop == p.t_us[-1] + 1 for p in pieces)


def test_any_stretch_before_and_after_the_whole_was_read(recording, made):
    rng = np.random.default_rng(4)
    stretches = [sorted(rng.integers(made.start - 1000, made.stop + 1000, 2).tolist()) for _ in range(12)]
    stretches += [
        [int(made.t_us[5000])] * 2,
        [int(made.t_us[5000]), int(made.t_us[5000]) + 1],
        [0, made.start],
        [made.stop, made.stop + 9],
    ]
    for _ in range(2):
        for start, stop in stretches:
            got, inside = recording.read(start, stop), (made.t_us >= start) & (made.t_us < stop)
            assert (got.start, got.stop) == (start, stop)
            for column in COLUMNS:
                np.testing.assert_array_equal(getattr(got, column), getattr(made, column)[inside])
        recording.summary()


def test_seeking_does_not_read_what_is_before(recording, made, monkeypatch):
    pieces, reader, read = len(list(recording.pieces())), recording._reader, []
    monkeypatch.setattr(
        recording, "_reader", type("Counting", (), {"pieces": lambda self, after=None: _noted(reader, after, read)})()
    )
    start = int(made.t_us[-100])
    assert len(recording.read(start)) == (made.t_us >= start).sum()
    assert len(read) <= max(2, pieces // 3)


def _noted(reader, after, read):
    for piece in reader.pieces(after):
        read.append(piece)
        yield piece


def test_long_recordings_remember_fewer_places(recording, made, monkeypatch):
    monkeypatch.setattr(source, "MOST_MARKS", 4)
    recording.summary()
    assert len(recording._marks) <= 4
    for at in (100, 9000, 19000):
        start = int(made.t_us[at])
        np.testing.assert_array_equal(recording.read(start).x, made.x[made.t_us >= start])


def test_summary(recording, made):
    found = recording.summary()
    assert (found.events, found.brighter) == (len(made), made.p.sum())
    assert (found.first_us, found.last_us) == (made.t_us[0], made.t_us[-1])
    assert found.seconds == pytest.approx((made.t_us[-1] - made.t_us[0]) / 1e6)
    assert found.rate_hz == pytest.approx(len(made) / found.seconds)
    assert found.damage == recording.damage == {}


def test_what_it_is(recording):
    assert recording.finite
    assert recording.name == "a"
    assert recording.checksum() == hashlib.sha256(recording.path.read_bytes()).hexdigest()
    assert "200 x 150" in repr(recording) or recording.source_format == "npy"


def test_silence_is_blocks_too(tmp_path):
    few = Events(0, 0, np.array([10, 10_000]), *(np.zeros(2, k) for k in (np.uint16, np.uint16, np.uint8)))
    blocks = list(open_events(write_events(tmp_path / "a.raw", [few], sensor=SENSOR)).blocks(1000))
    assert [(b.start, b.stop, len(b)) for b in blocks[:2]] == [(10, 1010, 1), (1010, 2010, 0)]
    assert (blocks[-1].start, blocks[-1].stop, len(blocks[-1])) == (9010, 10001, 1)


@pytest.mark.parametrize("leap", [0, 300, 64_000, 64_999, 71_000, 5_000_000, 90_000_000])
@pytest.mark.parametrize("pieces", [3, 1000])
def test_a_long_silence_may_be_one_block(tmp_path, made, monkeypatch, leap, pieces):
    """The blocks that hold events are the same; those of the silence before, amid and after them are fewer, and cover it."""
    monkeypatch.setattr("sensors.events.npy.ROWS", pieces)
    t = made.t_us[:20] + leap * (np.arange(20) > 9)
    some = Events(0, 0, t, made.x[:20], made.y[:20], made.p[:20])
    recording = open_events(write_events(tmp_path / "a.npy", [some], sensor=SENSOR))
    for start, stop in ((None, None), (made.start - leap, int(t[-1]) + 1 + leap), (int(t[9]) + 300, int(t[9]) + leap + 400)):
        every, fewer = (list(recording.blocks(1000, start, stop, long_silence=one)) for one in (False, True))
        held = [[(b.start, b.stop, b.t_us.tolist(), b.x.tolist()) for b in blocks if len(b)] for blocks in (every, fewer)]
        assert held[0] == held[1]
        assert (fewer[0].start, fewer[-1].stop) == (every[0].start, every[-1].stop)
        assert all(a.stop == b.start for a, b in pairwise(fewer))
        assert all((b.stop - every[0].start) % 1000 == 0 or b.stop - b.start == 60_000_000 for b in fewer[:-1])
        assert len(fewer) < 3 * 64 + 20


def test_bad_questions(recording):
    with pytest.raises(BitspikeError, match="block length: 0 us; give at least 1"):
        recording.blocks(0)
    with pytest.raises(BitspikeError, match="stop 5 us is before start 9 us"):
        recording.blocks(10, 9, 5)


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Six million events are 24 MB of EVT2 and 78 MB of columns, and are read in pieces of some MiB."""
    n = 1_000_000
    rng = np.random.default_rng(1)
    x, y, p = rng.integers(0, 200, n).astype(np.uint16), rng.integers(0, 150, n).astype(np.uint16), np.zeros(n, np.uint8)
    parts = (Events(0, 0, np.arange(k * n, (k + 1) * n), x, y, p) for k in range(6))
    recording = open_events(write_events(tmp_path / "a.raw", parts, "evt2", sensor=SENSOR))
    tracemalloc.start()
    assert sum(len(b) for b in recording.blocks(1000)) == 6 * n
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
