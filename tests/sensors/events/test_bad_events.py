"""Damaged files: one line that says what is wrong, or the sound rest with the damage counted."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipeline.blocks import EventFormat
from pipeline.errors import BitspikeError
from pipeline.layout import blank, variables
from sensors.events import aedat4, open_events, write_events
from sensors.events.opening import is_events

SENSOR = EventFormat(200, 150)
COLUMNS = ("t_us", "x", "y", "p")
RAW = b"% evt 3.0\n% geometry 200x150\n% end\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.raw", b"", "is empty: 0 bytes"),
        ("a.raw", RAW, "holds no events: nothing follows its header of 35 bytes"),
        ("a.raw", b"% evt 4.0\n\x00\x80\x00\x80", "EVT 4; EVT2, EVT2.1 and EVT3 are read"),
        ("a.raw", b"% date today\n\x00\x80\x00\x80", "no EVT version in its header"),
        ("a.raw", b"% evt 3.0\n\x00\x80\x00\x80", "does not say the size of the sensor; give --width and --height"),
        ("a.raw", b"% evt 3.0\n% geometry 99999x1\n\x00\x80", "a.raw: width, height: 99999 x 1 is no event camera"),
        ("a.raw", b"% evt 3.0\n% geometry 4000x3000\n\x00\x80", "4000 x 3000 is more than evt3 can address"),
        ("a.raw", b"% evt 3.0\n% geometry", "header: is cut off after 20 bytes"),
        ("a.raw", b"\x01\x02\x03\x04", "no known event format; give format="),
        ("a.dat", b"% Version 2\n", "is truncated: its header has no type and size"),
        ("a.dat", b"% Version 2\n\x0e\x08" + bytes(8), "holds external triggers"),
        ("a.dat", b"% Version 2\n\x0c\x09" + bytes(8), "events of type 0x0c and 9 bytes are not read"),
        ("a.dat", b"% Version 7\n\x0c\x08" + bytes(8), "Version: 7; DAT of version 1 and 2"),
        ("a.aedat", b"#!AER-DAT3.1\r\n", "AEDAT 3 is not read"),
        ("a.aedat", b"#!AER-DAT2.0\r\n# AEChip: x.y.DVS128\r\n" + bytes(8), "AEChip: DVS128 is not read; DAVIS240"),
        ("a.aedat", b"#!AER-DAT2.0\r\n# AEChip: x.y.DAVIS240C\r\n", "holds no events"),
        ("a.es", b"Event Stream\x02\x00\x00\x02" + bytes(20), "type atis is not read"),
        ("a.es", b"Something else, of length", "not an Event Stream"),
        ("a.aedat", b"Something else, of length", "not an AEDAT 2.0 file: it does not begin with #!AER-DAT2.0"),
        ("a.es", b"Event Stream\x01\x00\x00\x01" + bytes(20), "version 1 is not read"),
        ("a.es", b"Event Stream\x02\x00", "holds no events: 14 bytes"),
        ("a.bin", b"\x01\x02\x03", "holds no events: 3 bytes"),
        ("a.npy", b"\x93NUMPY\x01\x00", "not a readable .npy file"),
        ("a.csv", b"\n# nothing\n", "holds no events"),
        ("a.csv", b"t,x,y\n1,2,3\n", "columns t, x, y; events have t, x, y and p"),
        ("a.csv", b"1,2,3\n4,5,6\n", "which column is which is not clear"),
        ("a.csv", b"9,2,3,7\n4,5,6,9\n", "which column is which is not clear"),
        ("a.csv", b"t,x,y,p\n1,2,3,1\n2,3,4\n", "event 1: '2,3,4' has no whole numbers t, x, y and p"),
        ("a.csv", b"t,x,y,p\n# a remark\n1,2,3,1\n2,three,4,0\n", "event 1: '2,three,4,0' has no whole numbers"),
        ("a.csv", b"t,x,y,p\n1,2,3,1\nnan,2,3,1\n", "event 1: 'nan,2,3,1' has no whole numbers"),
        ("a.csv", b"t,x,y,p\n1.5,2,3,1\n2.5,2,inf,1\n", "event 1: '2.5,2,inf,1' has no whole numbers"),
        ("a.csv", b"t,x,y,p\n-5,2,3,1\n", "event 0: t is -5 us, before 0"),
        ("a.csv", b"t,x,y,p\n5,2,3,1\n4,3,4,0\n", "event 1: t goes back from 5 to 4 us; sort the file by time"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BitspikeError, match=message) as caught:
        open_events(path).read()
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_what_is_stated(tmp_path, made):
    path = write_events(tmp_path / "a.raw", [made], sensor=SENSOR)
    for facts, message in (
        ({"width": 640, "height": 480}, "200 x 150 by the header, and 640 x 480 was given"),
        ({"width": 640}, "give both --width and --height"),
        ({"format": "evt2"}, "format is evt3 by the header, and evt2 was given"),
        ({"format": "tape"}, "format: 'tape'; choose one of"),
    ):
        with pytest.raises(BitspikeError, match=message):
            open_events(path, **facts)
    assert open_events(path, 200, 150, pitch_um=15).format == EventFormat(200, 150, 15)
    with pytest.raises(BitspikeError, match="no such file"):
        open_events(tmp_path / "b.raw")
    with pytest.raises(BitspikeError, match="a folder"):
        open_events(tmp_path)


def test_words_without_a_header(tmp_path):
    (tmp_path / "a.raw").write_bytes(np.array([0x8001, 0x0003, 0x2002], "<u2").tobytes())
    events = open_events(tmp_path / "a.raw", 640, 480, format="evt3").read()
    assert [getattr(events, c).tolist() for c in COLUMNS] == [[4096], [2], [3], [0]]


@pytest.mark.parametrize("format", ["evt2", "evt21", "evt3", "dat", "dat1", "aedat2", "es", "nmnist"])
def test_truncated_anywhere_gives_what_is_whole(tmp_path, made, format):
    suffix = {"es": ".es", "nmnist": ".bin", "aedat2": ".aedat"}.get(format, ".raw" if format.startswith("evt") else ".dat")
    path = write_events(tmp_path / f"a{suffix}", [made], format, sensor=SENSOR)
    whole = path.read_bytes()
    counts = []
    for lost in (1, 2, 3, 4, 5, 6, 7, 8, 11, 1001, len(whole) // 2):
        path.write_bytes(whole[:-lost])
        recording = open_events(path, 200, 150)
        events = recording.read()
        counts.append(recording.counts["cut"])
        for column in COLUMNS:
            np.testing.assert_array_equal(getattr(events, column), getattr(made, column)[: len(events)])
        assert len(made) - len(events) <= 32 * (lost // 2 + 1)
    assert any(counts)


@pytest.mark.parametrize("format", ["evt2", "evt21", "evt3", "dat", "es", "nmnist", "aedat2"])
def test_damage_is_counted_and_nothing_leaves_the_sensor(tmp_path, made, format):
    suffix = {"es": ".es", "nmnist": ".bin", "aedat2": ".aedat"}.get(format, ".raw" if format.startswith("evt") else ".dat")
    path = write_events(tmp_path / f"a{suffix}", [made], format, sensor=SENSOR)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(6)
    for _ in range(10):
        broken = whole.copy()
        at = 200 + rng.integers(0, len(whole) - 1000)
        broken[at : at + 600] = rng.integers(0, 256, 600)
        path.write_bytes(broken.tobytes() + b"\x01")
        recording = open_events(path, 200, 150)
        events = recording.read()
        assert sum(recording.damage.values()) > 0
        assert events.x.max() < 200
        assert events.y.max() < 150
        assert (np.diff(events.t_us) >= 0).all()


def test_dat_times(tmp_path):
    """A time that goes back is held; one that leaps ahead alone is damage; one that leaps with all after it is a gap."""
    t = [100, 90, 110, 3_000_000_000, 120, 50_000_000, 50_000_001]
    records = np.array([(v, i) for i, v in enumerate(t)], "<u4")
    (tmp_path / "a.dat").write_bytes(b"% Version 2\n% Width 200\n% Height 150\n\x0c\x08" + records.tobytes())
    recording = open_events(tmp_path / "a.dat")
    events = recording.read()
    assert events.t_us.tolist() == [100, 100, 110, 120, 50_000_000, 50_000_001]
    assert events.x.tolist() == [0, 1, 2, 4, 5, 6]
    assert recording.damage == {"refused": 1, "held": 1}


@pytest.mark.parametrize("chunk", [8 * 3, 8 * 50, 8 * 500, 1 << 18])
@pytest.mark.parametrize("share", [1.0, 0.1])
def test_random_records_beside_a_plain_decoder(tmp_path, monkeypatch, chunk, share):
    """Times in DAT: wraps, steps back, lone leaps and gaps, beside the rules of the specification in plain Python."""
    monkeypatch.setattr("sensors.events.words.CHUNK_BYTES", chunk)
    rng = np.random.default_rng(12)
    t = np.cumsum(rng.choice([0, 1, 50, 2_000_000], 3000, p=[0.3, 0.4, 0.299, 0.001]))
    t += (1 << 32) - t[1500]  # a wrap half-way
    odd = rng.random(3000) / share  # how much is damaged
    t = np.where(odd < 0.02, rng.integers(0, 1 << 32, 3000), np.where(odd < 0.05, t - rng.integers(0, 500, 3000), t)) % (1 << 32)
    t[0] = (1 << 32) - 1  # damaged: far ahead
    x, y, p = rng.integers(0, 200, 3000), rng.integers(0, 150, 3000), rng.integers(0, 2, 3000)
    x = np.where(rng.random(3000) < 0.05 * share, 205, x)
    records = np.stack([t, x | y << 14 | p << 28], axis=1).astype("<u4")
    (tmp_path / "a.dat").write_bytes(b"% Version 2\n% Width 200\n% Height 150\n\x0c\x08" + records.tobytes())
    expected, counts = [], {"held": 0, "refused": 0, "outside": 0}
    now, wrapped, whole = int(min(t[:2])), 0, 1 << 32
    for i in range(3000):
        when, following = (int(v) + wrapped for v in (t[i], t[min(i + 1, 2999)]))
        when, following = (v + whole if now - v > whole // 2 else v for v in (when, following))
        late = when < now
        when = max(when, now)
        if when - now > 1_000_000 and i < 2999 and now <= following < when:
            counts["refused"] += 1
            continue
        counts["held"] += late
        wrapped = when // whole * whole
        now = when
        if x[i] < 200 and y[i] < 150:
            expected.append((now, x[i], y[i], p[i]))
        else:
            counts["outside"] += 1
    recording = open_events(tmp_path / "a.dat")
    events = recording.read()
    assert list(zip(*(getattr(events, c).tolist() for c in COLUMNS), strict=True)) == expected
    assert recording.damage == counts
    assert all(counts.values())
    assert int(events.t_us[-1]) > whole


def test_text_may_begin_with_a_byte_order_mark(tmp_path):
    for content in (b"t,x,y,p\n7,2,3,1\n", b"7 2 3 1\n"):
        (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + content)
        events = open_events(tmp_path / "a.csv").read()
        assert [getattr(events, c).tolist() for c in COLUMNS] == [[7], [2], [3], [1]]


def test_a_gap_of_any_length_takes_no_memory(tmp_path):
    """Blocks of a microsecond over 146 years: the first come at once, and so do those just before the gap's end."""
    array = np.array([[0, 1, 1, 1], [1 << 52, 2, 2, 0]])
    np.save(tmp_path / "a.npy", array)
    blocks = open_events(tmp_path / "a.npy").blocks(1)
    first = [next(blocks) for _ in range(10_000)]
    assert [block.start for block in first] == list(range(10_000))
    assert [len(block) for block in first[:3]] == [1, 0, 0]
    last = list(open_events(tmp_path / "a.npy").blocks(1, start=(1 << 52) - 5000))
    assert len(last) == 5001
    assert last[-1].x.tolist() == [2]


def test_a_gap_that_evt_cannot_hold_is_refused(tmp_path):
    """Each step of its clock would be a word."""
    np.save(tmp_path / "a.npy", np.array([[1 << 50, 1, 1, 1], [(1 << 50) + 9, 2, 2, 0]]))
    assert len(open_events(write_events(tmp_path / "a.raw", open_events(tmp_path / "a.npy"))).read()) == 2
    np.save(tmp_path / "b.npy", np.array([[0, 1, 1, 1], [1 << 50, 2, 2, 0]]))
    for format in ("evt2", "evt21", "evt3"):
        with pytest.raises(BitspikeError, match=r"b\.raw: t leaps to 1125899906842624 us, more than a year ahead"):
            write_events(tmp_path / "b.raw", open_events(tmp_path / "b.npy"), format)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "a.raw", "b.npy"]


def test_a_recording_is_not_written_over_itself(tmp_path, made):
    path = write_events(tmp_path / "a.raw", [made], "evt2", sensor=SENSOR)
    (tmp_path / "b.raw").symlink_to(path)
    whole = path.read_bytes()
    for name in ("a.raw", "b.raw"):
        with pytest.raises(BitspikeError, match="is the recording that is read, which would be lost; choose another name"):
            write_events(tmp_path / name, open_events(path), "evt3", overwrite=True)
    assert path.read_bytes() == whole
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.raw", "b.raw"]


def test_a_place_that_cannot_be_written_is_named_as_given(tmp_path, made, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(BitspikeError, match=r"file/a\.raw: cannot be written: "):
        write_events(tmp_path / "file" / "a.raw", [made], sensor=SENSOR)
    full = OSError("Unable to create (errno = 28, error message = 'No space left on device', buf = 0x1)")
    monkeypatch.setattr("sensors.events.hdf5.Hdf5Writer.write", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(BitspikeError, match=r"a\.h5: cannot be written: No space left on device; free some space"):
        write_events(tmp_path / "a.h5", [made], sensor=SENSOR)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_npy_of_something_else(tmp_path):
    for array, message in (
        (np.zeros((5, 3), np.int64), r"shape \[5, 3\]; a plain array of events is \[events, 4\]"),
        (np.zeros((5, 4)), "dtype: float64; events are integers"),
        (np.zeros(5, [("t", "i8"), ("a", "i8")]), "fields t, a; an array of events has"),
        (np.zeros((0, 4), np.int64), "holds no events"),
        (np.array([[5, 0, 0, 1], [4, 0, 0, 1]]), "event 1: t goes back from 5 to 4 us"),
    ):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(BitspikeError, match=message):
            open_events(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.zeros((500, 4), np.int64))
    path = tmp_path / "a.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(BitspikeError, match="or truncated"):
        open_events(path)


def test_hdf5_of_something_else(tmp_path):
    h5py = pytest.importorskip("h5py", reason="HDF5 is read through the events extra")
    path = tmp_path / "a.h5"
    for sets, message in (
        ({"a": [1]}, "holds no data sets t, x, y and p"),
        ({"events/t": [1], "events/x": [1, 2], "events/y": [1], "events/p": [1]}, "data sets of different lengths: t 1, x 2"),
        ({"t": [1.5], "x": [1], "y": [1], "p": [1]}, "events are integers"),
        ({name: np.zeros(0, int) for name in "txyp"}, "holds no events"),
    ):
        with h5py.File(path, "w") as file:
            for name, values in sets.items():
                file[name] = values
        with pytest.raises(BitspikeError, match=message):
            open_events(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(BitspikeError, match="not a readable HDF5 file"):
        open_events(path)


def test_aedat4_of_something_else(tmp_path, made):
    pytest.importorskip("dv_processing", reason="AEDAT 4 is read through the events extra")
    path = tmp_path / "a.aedat4"
    path.write_bytes(b"#!AER-DAT4.0\r\n" + bytes(100))
    with pytest.raises(BitspikeError, match="not a whole AEDAT 4 file"):
        open_events(path)


@pytest.mark.parametrize("damage", [None, "time", "first", "x", "y"])
def test_packets_of_aedat4_in_and_out_of_order(damage):
    """In plain Python: times never go back, and what is beyond the sensor is counted."""
    rng, width, height = np.random.default_rng(5), 300, 200
    x, y, p = (rng.integers(0, most, 500) for most in (width, height, 2))
    t = np.sort(rng.integers(50, 9000, 500))
    if damage == "time":
        t[[3, 200, 499]] -= 5000
    if damage == "first":
        t[0] = 3
    if damage == "x":
        x[[0, 77]] = width, 65_535
    if damage == "y":
        y[[77, 499]] = 65_535, height
    words = np.stack([t, x | y << 16 | p << 32], axis=1)
    state = blank(aedat4.STATE)
    state["time"] = 40
    given = [np.zeros(501, kind) for kind in ("i8", "u2", "u2", "u1")]
    n = aedat4.decode_packet(width, height, *variables(state), words, 500, *given)
    rows, now, held = [], 40, 0
    for when, *place in zip(t.tolist(), x.tolist(), y.tolist(), p.tolist(), strict=True):
        held += when < now
        now = max(now, when)
        if place[0] < width and place[1] < height:
            rows.append((now, *place))
    assert list(zip(*(column[:n].tolist() for column in given), strict=True)) == rows
    assert (state["time"], state["held"], state["outside"]) == (now, held, 500 - len(rows))
    assert (held > 0) == (damage in ("time", "first"))
    assert (len(rows) < 500) == (damage in ("x", "y"))


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dv_processing", None)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    (tmp_path / "a.aedat4").write_bytes(b"#!AER-DAT4.0\r\n" + bytes(100))
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    for name in ("a.aedat4", "a.h5"):
        with pytest.raises(BitspikeError, match=r"needs the 'events' extra: pip install 'bitspike\[events\]'"):
            open_events(tmp_path / name)


def test_events_are_told_from_samples(tmp_path, made):
    for name in ("a.raw", "a.dat", "a.es", "a.bin", "a.npy", "a.csv"):
        assert is_events(write_events(tmp_path / name, [made], sensor=SENSOR, from_zero=True)), name
    rng = np.random.default_rng(2)
    samples = rng.normal(0, 300, 5000).astype("<i2")
    for name in ("b.raw", "b.dat", "b.bin"):
        (tmp_path / name).write_bytes(samples.tobytes())
        assert not is_events(tmp_path / name), name
    np.save(tmp_path / "b.npy", samples.reshape(-1, 4))
    assert not is_events(tmp_path / "b.npy")
    assert not is_events(tmp_path)


@pytest.mark.parametrize("left", [14, 1000, 20_000, -600])
def test_a_truncated_aedat4_file_gets_one_clear_line(tmp_path, made, left):
    pytest.importorskip("dv_processing")
    path = write_events(tmp_path / "a.aedat4", [made], sensor=SENSOR)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(BitspikeError) as refusal:
        open_events(path).summary()
    line = str(refusal.value)
    assert line.startswith(f"{path}: not a whole AEDAT 4 file: ")
    assert line.endswith("; copy it again, or record it anew")
    assert not re.search(r"::|[ch]pp|Stacktrace|\n", line)
