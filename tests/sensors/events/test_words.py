"""The decoders of EVT2, EVT2.1 and EVT3: beside slow ones in plain Python, written from the formats' specification."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.blocks import EventFormat
from sensors.events import words as words_module
from sensors.events.raw import CODINGS, raw_reader
from sensors.events.source import EventRecording

SENSOR = EventFormat(300, 200)
LOOK, NEAR, BACK = 4096, 16, 16
COUNTED = ("early", "outside", "unknown", "refused", "held", "triggers", "others")


class Clock:
    """TIME_HIGH with its wraps, and the rule for what is believed."""

    def __init__(self, bits, unit, counts):
        self.range, self.unit, self.counts, self.high = 1 << bits, unit, counts, None

    def hear(self, value, later):
        """Take a TIME_HIGH; `later` are the values of TIME_HIGH or None of the words after it."""
        if self.high is None:
            self.high = value
            return
        step = (value - self.high) % self.range
        if step > 1:
            after = next((v for v in later[:LOOK] if v is not None), None)
            damaged = after is not None and (after - self.high) % self.range <= min(NEAR, step - 1)
            if damaged or step >= self.range - BACK:
                self.counts["refused"] += 1
                return
        self.high += step

    @property
    def base(self):
        return self.high * self.unit


def plain(version, words, sensor, follow=False):
    """Decode; `follow` lets EVT3's time go back where TIME_LOW does."""
    words = [int(w) for w in words]
    counts = dict.fromkeys(COUNTED, 0)
    size, high_bits, at, unit = {"2": (32, 28, 0, 64), "2.1": (64, 28, 32, 64), "3": (16, 12, 0, 4096)}[version]
    kinds = [w >> (size - 4) for w in words]
    highs = [(w >> at) % (1 << high_bits) if k == 8 else None for w, k in zip(words, kinds, strict=True)]
    clock, events = Clock(high_bits, unit, counts), []
    now, y, base, p = 0, None, None, 0

    def emit(x, y, p):
        if y is None or x is None or x >= sensor.width or y >= sensor.height:
            counts["outside"] += 1
        else:
            events.append((now, x, y, p))

    for i, (w, kind) in enumerate(zip(words, kinds, strict=True)):
        if clock.high is None and kind != 8:
            counts["early"] += 1
        elif kind == 8:
            before = clock.high
            clock.hear(highs[i], highs[i + 1 : i + 1 + LOOK])
            if version == "3" and clock.high != before:
                now = clock.base if follow else max(now, clock.base)
        elif kind == 10:
            counts["triggers"] += 1
        elif version == "3" and kind in (1, 7, 14, 15):
            counts["others"] += 1
            y = None if kind == 1 else y
        elif version != "3" and kind in (14, 15):
            counts["others"] += 1
        elif version == "3":
            low = w % 4096
            if kind == 0:
                y = low % 2048
            elif kind == 2:
                emit(low % 2048, y, low // 2048)
            elif kind == 3:
                base, p = low % 2048, low // 2048
            elif kind in (4, 5):
                length = {4: 12, 5: 8}[kind]
                for k in range(length):
                    if low >> k & 1:
                        emit(None if base is None else base + k, y, p)
                base = None if base is None else base + length
            elif kind == 6:
                counts["held"] += clock.base + low < now
                now = clock.base + low if follow else max(now, clock.base + low)
            else:
                counts["unknown"] += 1
        elif kind in (0, 1):
            upper = w >> (size - 32)
            when = clock.base + (upper >> 22) % 64
            counts["held"] += when < now
            now = max(now, when)
            valid = w % (1 << 32) if version == "2.1" else 1
            for k in range(32):
                if valid >> k & 1:
                    emit((upper >> 11) % 2048 + k, upper % 2048, kind)
        else:
            counts["unknown"] += 1
    return events, counts


def decoded(tmp_path, version, words, sensor=SENSOR):
    """Decode with the readers themselves, from a file."""
    path = tmp_path / "words.raw"
    path.write_bytes(np.asarray(words, CODINGS[version].word).tobytes())
    recording = EventRecording(path, version, sensor, raw_reader(path, version, sensor))
    events = recording.read()
    return list(zip(*(getattr(events, c).tolist() for c in ("t_us", "x", "y", "p")), strict=True)), recording.counts


def same(tmp_path, version, words, sensor=SENSOR):
    events, counts = plain(version, words, sensor)
    ours, our_counts = decoded(tmp_path, version, words, sensor)
    assert ours == events
    assert our_counts == {**counts, "cut": 0}
    return events, counts


def spread(rng, version, n):
    """Return words of all types, with times that mostly go on."""
    kinds = {"2": 32, "2.1": 64, "3": 16}[version] - 4
    body = rng.integers(0, 1 << kinds, n, dtype=np.uint64)
    if version == "3":
        kind = rng.choice(16, n, p=[0.15, 0.01, 0.3, 0.08, 0.1, 0.05, 0.15, 0.01, 0.08, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01])
    else:
        kind = rng.choice([0, 1, 8, 10, 14, 15, 3, 9], n, p=[0.35, 0.35, 0.2, 0.02, 0.02, 0.02, 0.02, 0.02])
    clock = np.cumsum(rng.choice([0, 1, 1, 1, 2, 5, 40], n)) + int(rng.integers(0, 1 << 28))
    wild = rng.random(n) < 0.1
    high = np.where(wild, body, clock.astype(np.uint64)) & np.uint64((1 << (12 if version == "3" else 28)) - 1)
    body = np.where(kind == 8, high << np.uint64(32 if version == "2.1" else 0), body)
    if version != "3":  # most events within the sensor
        upper = np.uint64(32 if version == "2.1" else 0)
        x, y = rng.integers(0, 310, n, dtype=np.uint64), rng.integers(0, 205, n, dtype=np.uint64)
        place = (rng.integers(0, 64, n, dtype=np.uint64) << np.uint64(22)) | (x << np.uint64(11)) | y
        event = (place << upper) | (body & np.uint64((1 << int(upper)) - 1))
        body = np.where(kind <= 1, event, body)
    else:
        body = np.where(kind <= 5, (body & np.uint64(0x800)) | (body % np.uint64(320)), body)
    return (kind.astype(np.uint64) << np.uint64(kinds)) | body


@pytest.mark.parametrize("version", ["2", "2.1", "3"])
def test_random_streams(tmp_path, version):
    rng = np.random.default_rng(11)
    met = dict.fromkeys(COUNTED, 0)
    for n in (1, 2, 17, 300, 6000, 20000):
        _, counts = same(tmp_path, version, spread(rng, version, n))
        met = {name: met[name] + counts[name] for name in COUNTED}
    assert all(met.values())  # every kind of damage came up


@pytest.mark.parametrize("seed", range(6))
def test_long_runs_of_events(tmp_path, seed):
    """EVT2 is decoded many words at a time where all are events in order: here mostly, with something else at times."""
    rng = np.random.default_rng(seed)
    n = 5000
    low = np.sort(rng.integers(0, 64, (n // 250, 250)), axis=1).ravel()
    x, y = rng.integers(0, SENSOR.width, n), rng.integers(0, SENSOR.height, n)
    words = rng.integers(0, 2, n) << 28 | low << 22 | x << 11 | y
    words[::250] = 8 << 28 | np.arange(n // 250) + 5
    few = rng.integers(0, n, 4 * seed)
    words[few] = rng.integers(0, 1 << 32, len(few))
    few = rng.integers(0, n, 3 * seed)
    words[few] ^= rng.integers(0, 1 << 28, len(few))
    events, _ = same(tmp_path, "2", words)
    assert len(events) > n - 400


@pytest.mark.parametrize("version", ["2", "2.1", "3"])
def test_any_bytes_decode_within_the_sensor(tmp_path_factory, version):
    folder = tmp_path_factory.mktemp("fuzz")

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.integers(0, (1 << CODINGS[version].word.itemsize * 8) - 1), min_size=1, max_size=80))
    def check(words):
        events, _ = same(folder, version, words)
        assert all(x < SENSOR.width and y < SENSOR.height for _, x, y, _ in events)
        assert [e[0] for e in events] == sorted(e[0] for e in events)

    check()


@pytest.mark.parametrize("version", ["2", "2.1", "3"])
def test_pieces_do_not_matter(tmp_path, version, monkeypatch):
    words = spread(np.random.default_rng(5), version, 30000)
    whole = decoded(tmp_path, version, words)
    for size in (LOOK + 1, 5000, 7777):
        monkeypatch.setattr(words_module, "CHUNK_BYTES", size * CODINGS[version].word.itemsize)
        assert decoded(tmp_path, version, words) == whole


def test_full_vectors_need_more_room_than_words(tmp_path):
    words = [0x8001, 0x6001, 0x0005, 0x3000 | 0x800 | 7] + [0x4FFF] * 3 + [0x3007] + ([0x3000] + [0x4FFF] * 24) * 4000
    events, _ = same(tmp_path, "3", words)
    assert len(events) == 36 + 12 * 24 * 4000


def test_evt2_by_hand(tmp_path):
    words = [0x8000_0002, 1 << 28 | 3 << 22 | 17 << 11 | 9, 0 << 28 | 63 << 22 | 299 << 11 | 199]
    assert decoded(tmp_path, "2", words)[0] == [(2 * 64 + 3, 17, 9, 1), (2 * 64 + 63, 299, 199, 0)]


def test_evt21_by_hand(tmp_path):
    words = [(8 << 28 | 2) << 32, (1 << 28 | 3 << 22 | 32 << 11 | 9) << 32 | 0x8000_0005]
    assert decoded(tmp_path, "2.1", words)[0] == [(131, 32, 9, 1), (131, 34, 9, 1), (131, 63, 9, 1)]


def test_evt3_by_hand(tmp_path):
    words = [0x8001, 0x6005, 0x0009, 0x2811, 0x3020, 0x4801, 0x5002, 0x6006, 0x2012]
    time = 4096 + 5
    expected = [(time, 17, 9, 1), (time, 32, 9, 0), (time, 43, 9, 0), (time, 45, 9, 0), (time + 1, 18, 9, 0)]
    assert decoded(tmp_path, "3", words)[0] == expected


@pytest.mark.parametrize(
    ("version", "high", "event", "unit"),
    [("2", 0x8000_0000, 0x1000_0000, 64), ("2.1", 8 << 60, 1 << 60 | 1, 64), ("3", 0x8000, 0x2000, 4096)],
)
def test_time_wraps(tmp_path, version, high, event, unit):
    bits, at = (12, 0) if version == "3" else (28, 32 if version == "2.1" else 0)
    last = (1 << bits) - 1
    words = [high | v << at for v in (last - 1, last, 0, 1)]
    words = [0x8FFE, 0x0000, 0x2000, 0x8FFF, 0x2000, 0x8000, 0x2000, 0x8001, 0x2000] if version == "3" else words
    if version != "3":
        words = [word for v in words for word in (v, event)]
    times = [t for t, *_ in decoded(tmp_path, version, words)[0]]
    assert times == [(last - 1 + k) * unit for k in range(4)]


@pytest.mark.parametrize("version", ["2", "2.1", "3"])
@pytest.mark.parametrize("step", [-3, 2, 900, 1 << 11, 4000])
def test_one_damaged_time_word_moves_nothing_else(tmp_path, version, step):
    at, event = {"2": (0, 1 << 28), "2.1": (32, 1 << 60 | 1), "3": (0, 0x2000)}[version]
    high = {"2": 8 << 28, "2.1": 8 << 60, "3": 8 << 12}[version]
    values = list(range(100, 140))
    sound = [word for v in values for word in (high | v << at, event)]
    if version == "3":
        sound.insert(1, 0x0000)
    good, _ = decoded(tmp_path, version, sound)
    place = sound.index(high | 120 << at)
    bad = list(sound)
    bad[place] = high | ((120 + step) % 4096) << at
    events, counts = decoded(tmp_path, version, bad)
    assert counts["refused"] == 1
    assert len(events) == len(good)
    assert [e for e in events if e not in good] == []
    assert events[:20] == good[:20]
    assert events[21:] == good[21:]


def test_a_real_gap_is_followed(tmp_path):
    words = [0x8001, 0x0000, 0x2000, 0x8400, 0x2000, 0x8401, 0x2000]
    assert [e[0] for e in decoded(tmp_path, "3", words)[0]] == [4096, 4096 * 0x400, 4096 * 0x401]


def test_time_low_is_followed_as_other_decoders_do(data):
    """The two readings of EVT3 differ in the times of events after a TIME_LOW that went back, and in nothing else."""
    figures = json.loads((Path(__file__).parents[2] / "fixtures" / "events" / "digests.json").read_text())["evt3/evt3_sample.raw"]
    content = (data / "evt3" / "evt3_sample.raw").read_bytes()
    words = np.frombuffer(content[content.index(b"% system_ID 48\n") + 15 :], "<u2")
    for follow, expected in ((False, figures), (True, figures["following"])):
        events, _ = plain("3", words, EventFormat(1280, 720), follow)
        columns = zip(*events, strict=True)
        digests = {
            name: hashlib.sha256(np.array(column, kind).tobytes()).hexdigest()
            for (name, kind), column in zip({"t": "<i8", "x": "<u2", "y": "<u2", "p": "u1"}.items(), columns, strict=True)
        }
        assert digests == expected["sha256"]
