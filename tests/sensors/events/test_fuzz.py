"""Random, truncated and spliced EVT2, EVT2.1, EVT3 and DAT: nothing crashes or leaves the sensor, and what follows is intact."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from sensors.events import open_events, write_events
from sensors.events.dat import LEAP
from sensors.events.source import DAMAGE, IGNORED

SENSOR = EventFormat(200, 150)
FORMATS = {"evt2": (".raw", 4), "evt21": (".raw", 8), "evt3": (".raw", 2), "dat": (".dat", 8)}
COLUMNS = ("t_us", "x", "y", "p")
SHORT = {"evt2": 64, "evt21": 64, "evt3": 4096, "dat": LEAP}  # leaps of the time that are no damage, in microseconds
RANGE = {"evt2": 1 << 34, "evt21": 1 << 34, "evt3": 1 << 24, "dat": 1 << 32}  # of the time in the words


def part(made, first, count):
    """Some of the events, without pauses: a camera sends the time all along, and by that damage is known."""
    some = slice(first, first + count)
    t = 1000 + np.cumsum(np.minimum(np.diff(made.t_us, prepend=0), 70))[some]
    return Events(int(t[0]), int(t[-1]) + 1, t, made.x[some], made.y[some], made.p[some])


@pytest.fixture(scope="module", params=FORMATS)
def halves(request, made, tmp_path_factory):
    """A format, a header, words of some events, and words, by another encoder, of the events after them, with these."""
    suffix, size = FORMATS[request.param]
    folder, contents = tmp_path_factory.mktemp("halves"), []
    first, second = part(made, 0, 400), part(made, 400, 500)
    for number, events in enumerate((first, second)):
        path = write_events(folder / f"{number}{suffix}", [events], request.param, sensor=SENSOR)
        contents.append(path.read_bytes())
    end = contents[0].index(b"\x0c\x08") + 2 if request.param == "dat" else contents[0].index(b"% end\n") + 6
    header = contents[0][:end]
    assert contents[1].startswith(header)
    return request.param, folder / f"x{suffix}", size, header, contents[0][end:], contents[1][end:], second


def opened(path, content):
    """Read a file and hold it to what always is: events on the sensor, in order of time, and counts."""
    path.write_bytes(content)
    recording = open_events(path, SENSOR.width, SENSOR.height)
    events = recording.read()
    if len(events):
        assert events.x.max() < SENSOR.width
        assert events.y.max() < SENSOR.height
        assert events.p.max() <= 1
        assert (np.diff(events.t_us) >= 0).all()
    assert set(recording.counts) <= {*DAMAGE, *IGNORED}
    assert all(count >= 0 for count in recording.counts.values())
    return events, recording


def test_spliced_streams(halves):
    """Words are taken out of the first half and any bytes put in: of the second half no event is lost, moved or made up."""
    format, path, size, header, first, second, expected = halves

    @settings(max_examples=80, deadline=None)
    @given(st.integers(0, len(first) // size), st.integers(0, 60), st.integers(0, 40), st.randoms(use_true_random=False))
    def check(at, removed, added, random):
        payload = random.randbytes(size * added)
        spliced = first[: size * at] + payload + first[size * (at + removed) :]
        events, _ = opened(path, header + spliced + second)
        after = {name: getattr(events, name)[len(events) - len(expected) :] for name in COLUMNS}
        for name in ("x", "y", "p"):
            np.testing.assert_array_equal(after[name], getattr(expected, name))
        if added == 0:
            np.testing.assert_array_equal((after["t_us"] - expected.t_us) % RANGE[format], 0)

    check()


def test_flipped_bits(halves):
    """One bit of the first half, after the first time, which nothing can be held against: the second half is as it was."""
    format, path, size, header, first, second, expected = halves
    sound, _ = opened(path, header + first + second)

    @settings(max_examples=80, deadline=None)
    @given(st.integers(size, len(first) - 1), st.integers(0, 7))
    def check(at, bit):
        held = bytearray(first)
        held[at] ^= 1 << bit
        events, recording = opened(path, header + bytes(held) + second)
        after = {name: getattr(events, name)[len(events) - len(expected) :] for name in COLUMNS}
        for name in ("x", "y", "p"):
            np.testing.assert_array_equal(after[name], getattr(expected, name))
        late = after["t_us"] - expected.t_us  # a leap that is short is no damage: what follows is held until time is there
        assert late.min() >= 0
        assert late.max() <= SHORT[format]
        assert late.max() == 0 or recording.damage["held"] > 0
        if len(events) < len(sound) and format in ("evt2", "dat"):  # a word of another type, place or time, and each is counted
            assert sum(recording.counts.values()) > 0

    check()


def test_random_words(halves):
    _, path, size, header, *_ = halves

    @settings(max_examples=60, deadline=None)
    @given(st.binary(min_size=size, max_size=300))
    def check(data):
        _, recording = opened(path, header + data)
        assert recording.counts["cut"] == len(data) % size

    check()


def test_truncated_anywhere(halves):
    """What is whole is given, and the rest is counted."""
    _, path, size, header, first, _, _ = halves
    sound, _ = opened(path, header + first)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(size, len(first)))
    def check(length):
        events, recording = opened(path, header + first[:length])
        for name in COLUMNS:
            np.testing.assert_array_equal(getattr(events, name), getattr(sound, name)[: len(events)])
        assert recording.counts["cut"] == length % size

    check()


@pytest.mark.parametrize("suffix", [".raw", ".dat"])
def test_any_file_is_read_or_refused_in_one_line(suffix, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    heads = [
        b"",
        b"% evt 2.0\n",
        b"% evt 2.1\n% end\n",
        b"% format EVT3\n% end\n",
        b"% Version 1\n\x00\x08",
        b"% Version 2\n\x0c\x08",
    ]

    @settings(max_examples=120, deadline=None)
    @given(st.sampled_from(heads), st.binary(max_size=120))
    def check(head, data):
        refused = ""
        try:
            opened(folder / f"a{suffix}", head + data)
        except BitspikeError as error:
            refused = str(error)
        assert not refused or (refused.startswith(str(folder)) and "\n" not in refused)

    check()
