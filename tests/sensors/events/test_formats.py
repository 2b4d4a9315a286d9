"""Writing and reading every format: the same events again, and files that others read."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pipeline.blocks import EventFormat, Events
from pipeline.errors import BitspikeError
from sensors.events import open_events, write_events
from sensors.events.writing import WRITERS

SENSOR = EventFormat(200, 150)
COLUMNS = ("t_us", "x", "y", "p")
SUFFIX = {
    **dict.fromkeys(("evt2", "evt21", "evt3"), ".raw"),
    **dict.fromkeys(("dat", "dat1"), ".dat"),
    **dict.fromkeys(("aedat4", "aedat4-none", "aedat4-zstd"), ".aedat4"),
    "aedat2": ".aedat",
    "es": ".es",
    "nmnist": ".bin",
    "npy": ".npy",
    "csv": ".csv",
    "hdf5": ".h5",
}
SAYS_NO_SIZE = ("nmnist", "npy")
FORMATS = list(WRITERS)


def needs(format):
    """Skip where the library of a format is missing."""
    if format.startswith("aedat4"):
        pytest.importorskip("dv_processing", reason="AEDAT 4 is written through the events extra")
    if format == "hdf5":
        pytest.importorskip("h5py", reason="HDF5 is written through the events extra")


def assert_same(one, other):
    for column in COLUMNS:
        a, b = getattr(one, column), getattr(other, column)
        np.testing.assert_array_equal(a, b, column)
        assert a.dtype == b.dtype


def moved(events, by):
    return Events(events.start + by, events.stop + by, events.t_us + by, events.x, events.y, events.p)


def cut(events, places):
    edges = [0, *sorted(places), len(events)]
    for i, j in pairwise(edges):
        columns = [getattr(events, c)[i:j] for c in COLUMNS]
        yield Events(0, 0, *columns)


@pytest.mark.parametrize("format", FORMATS)
def test_round_trip(tmp_path, made, format):
    needs(format)
    path = write_events(tmp_path / f"a{SUFFIX[format]}", [made], format, sensor=SENSOR)
    recording = open_events(path)
    assert_same(recording.read(), made)
    assert recording.damage == {}
    assert recording.source_format == format.partition("-")[0]
    if format not in SAYS_NO_SIZE:
        assert (recording.format, recording.size_from) == (SENSOR, "the header")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("format", [f for f in FORMATS if not f.startswith("aedat4")])
def test_blocks_written_do_not_matter(tmp_path, made, format):
    needs(format)
    rng = np.random.default_rng(8)
    whole = write_events(tmp_path / f"whole{SUFFIX[format]}", [made], format, sensor=SENSOR)
    for places in ([1, 2, 3], rng.integers(0, len(made), 50).tolist(), list(range(0, 600))):
        parts = write_events(tmp_path / f"p{SUFFIX[format]}", cut(made, places), format, sensor=SENSOR, overwrite=True)
        if format == "hdf5":
            assert_same(open_events(parts).read(), made)
        else:
            assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("format", [f for f in FORMATS if f not in ("es", "nmnist")])
def test_times_since_1970(tmp_path, made, format):
    needs(format)
    late = moved(made, 1_633_953_690_975_950)
    path = write_events(tmp_path / f"a{SUFFIX[format]}", [late], format, sensor=SENSOR)
    assert_same(open_events(path).read(), late)


@pytest.mark.parametrize(
    ("format", "bits"), [("evt2", 34), ("evt21", 34), ("evt3", 24), ("dat", 32), ("dat1", 32), ("aedat2", 32), ("nmnist", 23)]
)
def test_across_a_wrap(tmp_path, made, format, bits):
    across = moved(made, (1 << bits) - made.start - 5)
    if format == "nmnist":
        across = Events(0, 0, np.array([3, (1 << 22) + 1, (1 << 23) - 1, (1 << 23) + 7]), *(getattr(made, c)[:4] for c in "xyp"))
    path = write_events(tmp_path / f"a{SUFFIX[format]}", [across], format, sensor=SENSOR)
    assert_same(open_events(path).read(), across)


@pytest.mark.parametrize("format", ["evt2", "evt21", "evt3"])
def test_silence_of_hours(tmp_path, format):
    t = np.array([0, 1, 40_000_000, 3_600_000_000, 3_616_777_216, 21_000_000_000, 21_000_000_001], np.int64)
    ones = np.arange(7)
    events = Events(0, 0, t, ones.astype(np.uint16), ones.astype(np.uint16), (ones % 2).astype(np.uint8))
    recording = open_events(write_events(tmp_path / "a.raw", [events], format, sensor=SENSOR))
    assert_same(recording.read(), events)
    assert recording.damage == {}


def test_formats_that_cannot_hold_it_say_so(tmp_path, made):
    late = moved(made, 1 << 40)
    for name, format, events, sensor, text in (
        ("a.es", None, late, SENSOR, "count from 0.*--from-zero"),
        ("a.bin", None, late, SENSOR, "begins within 8.4 s.*--from-zero"),
        ("a.bin", None, made, EventFormat(346, 260), "addresses 256 x 256"),
        ("a.dat", "dat1", made, EventFormat(640, 480), "addresses 512 x 256"),
        ("a.aedat", None, made, EventFormat(1280, 720), "addresses 1024 x 512"),
        ("a.raw", None, made, EventFormat(4000, 720), "addresses 2048 x 2048"),
        ("a.xyz", None, made, SENSOR, "format: not clear from the name; choose one of evt2"),
        ("a.raw", "evt9", made, SENSOR, "format: evt9; choose one of"),
    ):
        with pytest.raises(BitspikeError, match=text):
            write_events(tmp_path / name, [events], format, sensor=sensor)
    assert list(tmp_path.iterdir()) == []
    assert_same(
        open_events(write_events(tmp_path / "a.es", [late], sensor=SENSOR, from_zero=True)).read(), moved(made, -made.start)
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"t_us": [5, 4]}, "event 1: t is 4 us, before the event before it"),
        ({"t_us": [-1, 4]}, "event 0: t is -1 us"),
        ({"x": [3, 200]}, "event 1: x, y, p = 200, 1, 1 does not fit a sensor of 200 x 150"),
        ({"y": [150, 1]}, "event 0: x, y, p = 1, 150, 1 does not fit"),
        ({"p": [1, 2]}, "event 1: x, y, p = 1, 1, 2 does not fit"),
    ],
)
def test_events_that_no_format_may_hold(tmp_path, change, text):
    kinds = {"t_us": np.int64, "x": np.uint16, "y": np.uint16, "p": np.uint8}
    columns = {c: np.array(change.get(c, [1, 1]), kind) for c, kind in kinds.items()}
    with pytest.raises(BitspikeError, match=text):
        write_events(tmp_path / "a.raw", [Events(0, 0, **columns)], sensor=SENSOR)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_lost_by_mistake(tmp_path, made):
    (tmp_path / "a.raw").write_text("mine")
    with pytest.raises(BitspikeError, match="exists already"):
        write_events(tmp_path / "a.raw", [made], sensor=SENSOR)
    with pytest.raises(BitspikeError, match="there are no events to write"):
        write_events(tmp_path / "b.raw", [], sensor=SENSOR)
    with pytest.raises(BitspikeError, match="give sensor="):
        write_events(tmp_path / "b.raw", [made])
    assert (tmp_path / "a.raw").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["a.raw"]


def test_others_read_what_we_write(tmp_path, made):
    """NumPy and the formats' records, without our readers."""
    plain = np.load(write_events(tmp_path / "a.npy", [made], sensor=SENSOR))
    np.testing.assert_array_equal(plain["t"], made.t_us)
    np.testing.assert_array_equal(plain["y"], made.y)
    table = np.loadtxt(write_events(tmp_path / "a.csv", [made], sensor=SENSOR), np.int64, delimiter=",", skiprows=2)
    np.testing.assert_array_equal(table, np.stack([getattr(made, c) for c in COLUMNS], axis=1))
    content = write_events(tmp_path / "a.dat", [made], sensor=SENSOR).read_bytes()
    records = np.frombuffer(content[content.index(b"\x0c\x08") + 2 :], [("t", "<u4"), ("a", "<u4")])
    np.testing.assert_array_equal(records["t"], made.t_us)
    np.testing.assert_array_equal(records["a"], made.x + (made.y.astype(np.int64) << 14) + (made.p.astype(np.int64) << 28))
    raw = np.fromfile(write_events(tmp_path / "a.bin", [made], sensor=SENSOR, from_zero=True), ("u1", 5)).astype(np.int64)
    np.testing.assert_array_equal(((raw[:, 2] & 127) << 16 | raw[:, 3] << 8 | raw[:, 4]), (made.t_us - made.t_us[0]) & 0x7FFFFF)


@pytest.mark.parametrize("format", ["evt2", "evt3", "dat", "dat1", "es", "aedat4"])
def test_faery_reads_what_we_write(tmp_path, made, format):
    faery = pytest.importorskip("faery", reason="faery, of the bench extra, is not installed")
    needs(format)
    across = moved(made, (1 << 24) - made.start - 30_000)  # a wrap of EVT3's time; `late` times need an origin
    late = moved(made, 1_633_953_690_975_950)
    for events in (made, across, late)[: 2 if format == "es" else 3]:
        path = write_events(tmp_path / f"a{SUFFIX[format]}", [events], format, sensor=SENSOR, overwrite=True)
        theirs = np.concatenate(list(faery.events_stream_from_file(path)))
        for name, column in (("t", "t_us"), ("x", "x"), ("y", "y"), ("on", "p")):
            np.testing.assert_array_equal(theirs[name], getattr(events, column), name)


def test_hdf5_of_others(tmp_path, made):
    h5py = pytest.importorskip("h5py", reason="HDF5 is read through the events extra")
    records = np.zeros(len(made), [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    for name, column in zip("txyp", COLUMNS, strict=True):
        records[name] = getattr(made, column)
    with h5py.File(tmp_path / "prophesee.h5", "w") as file:
        file["CD/events"] = records
    with h5py.File(tmp_path / "dsec.h5", "w") as file:
        for name in "xyp":
            file[f"events/{name}"] = records[name]
        file["events/t"] = (records["t"] - 777).astype(np.uint32)
        file["t_offset"] = 777
    with h5py.File(tmp_path / "rpg.h5", "w") as file:
        for name in "txyp":
            file[f"{name}s"] = records[name]
    for name in ("prophesee", "dsec", "rpg"):
        assert_same(open_events(tmp_path / f"{name}.h5").read(), made)


def test_tables_of_others(tmp_path, made):
    few = next(cut(made, [500]))
    rows = list(zip(*(getattr(few, c).tolist() for c in COLUMNS), strict=True))
    texts = {
        "prophesee.csv": "".join(f"{x},{y},{p},{t}\n" for t, x, y, p in rows),
        "rpg.txt": "200 150\n" + "".join(f"{t / 1e6:.6f} {x} {y} {p}\n" for t, x, y, p in rows),
        "faery.csv": "t,x,y,on\n" + "".join(f"{t},{x},{y},{p}\n" for t, x, y, p in rows),
        "signed.csv": "x;y;polarity;timestamp\r\n" + "".join(f"{x};{y};{2 * p - 1};{t}\r\n" for t, x, y, p in rows),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, newline="")
        assert_same(open_events(tmp_path / name).read(), few)
    assert open_events(tmp_path / "rpg.txt").format == SENSOR


def test_arrays_of_others(tmp_path, made):
    plain = np.stack([getattr(made, c) for c in COLUMNS], axis=1)
    np.save(tmp_path / "plain.npy", plain)
    named = np.zeros(len(made), [("x", "i2"), ("y", "i2"), ("timestamp", "u8"), ("polarity", "?")])
    for name, column in (("x", "x"), ("y", "y"), ("timestamp", "t_us"), ("polarity", "p")):
        named[name] = getattr(made, column)
    np.save(tmp_path / "named.npy", named)
    for name in ("plain", "named"):
        assert_same(open_events(tmp_path / f"{name}.npy").read(), made)


def test_evt21_with_halves_exchanged(tmp_path, made):
    path = write_events(tmp_path / "a.raw", [made], "evt21", sensor=SENSOR)
    head, _, body = path.read_bytes().partition(b"% end\n")
    words = np.frombuffer(body, "<u4").reshape(-1, 2)[:, ::-1]
    path.write_bytes(head.replace(b"format EVT21;", b"format EVT21;endianness=legacy;") + b"% end\n" + words.tobytes())
    assert_same(open_events(path).read(), made)


def test_dat_version_1_by_hand(tmp_path):
    address = 300 | 200 << 9 | 1 << 17
    path = tmp_path / "a.dat"
    path.write_bytes(b"% Version 1\n% Width 304\n% Height 240\n\x00\x08" + np.array([77, address, 78, 5], "<u4").tobytes())
    events = open_events(path).read()
    assert [getattr(events, c).tolist() for c in COLUMNS] == [[77, 78], [300, 5], [200, 0], [1, 0]]


def test_event_stream_by_hand(tmp_path):
    path = tmp_path / "a.es"
    body = bytes([0xFF, 0xFE, 3 << 1 | 1, 7, 0, 9, 0, 0, 0x3F, 1, 0xEF, 0])
    path.write_bytes(b"Event Stream\x02\x00\x00\x01" + np.array([320, 240], "<u2").tobytes() + body)
    events = open_events(path).read()
    assert [getattr(events, c).tolist() for c in COLUMNS] == [[130, 130], [7, 319], [230, 0], [1, 0]]


def test_five_byte_event_by_hand(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes([10, 20, 0x80 | 0x01, 0x02, 0x03, 33, 0, 0x01, 0x02, 0x04]))
    events = open_events(tmp_path / "a.bin").read()
    assert [getattr(events, c).tolist() for c in COLUMNS] == [[0x010203, 0x010204], [10, 33], [20, 0], [1, 0]]
