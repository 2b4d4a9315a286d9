"""WAV files, against scipy's and the standard library's writers and readers."""

from __future__ import annotations

import math
import struct
import wave
from fractions import Fraction

import numpy as np
import pytest
from scipy.io import wavfile

from pipeline.errors import BitspikeError
from sensors.recording import open_recording
from sensors.wav import stretched


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
@pytest.mark.parametrize("channels", [1, 3])
def test_integers(tmp_path, dtype, channels):
    bits = 8 if dtype == np.uint8 else 16
    expected = np.random.default_rng(1).integers(-(1 << (bits - 1)), 1 << (bits - 1), (999, channels))
    path = tmp_path / "a.wav"
    wavfile.write(path, 19531, (expected + (128 if bits == 8 else 0)).astype(dtype))
    recording = open_recording(path)
    assert (recording.source_format, recording.frames) == ("wav", 999)
    assert (recording.format.rate_hz, recording.format.channels, recording.format.bits) == (19531, channels, bits)
    np.testing.assert_array_equal(recording.read(), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_are_fractions_of_full_scale(tmp_path, dtype):
    values = np.random.default_rng(2).uniform(-1, 1, (500, 2)).astype(dtype)
    values[0] = -1, 1
    wavfile.write(tmp_path / "a.wav", 8000, values)
    np.testing.assert_array_equal(open_recording(tmp_path / "a.wav").read(), np.rint(values * np.float64(32767)))
    recording = open_recording(tmp_path / "a.wav", unit="mV")
    assert recording.format.uv_per_count == 1
    np.testing.assert_array_equal(recording.read(), np.rint(values * np.float64(1000)))
    values[123, 1] = 1.1
    wavfile.write(tmp_path / "a.wav", 8000, values)
    with pytest.raises(BitspikeError, match=r"frame 123, channel 1: .* does not fit 16 bits: floats are taken as fractions"):
        open_recording(tmp_path / "a.wav")


def test_written_by_the_standard_library(tmp_path):
    values = np.random.default_rng(3).integers(-32768, 32768, 777).astype("<i2")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes(values.tobytes())
    np.testing.assert_array_equal(open_recording(tmp_path / "a.wav").read()[:, 0], values)


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def riff(*chunks: bytes, head: bytes = b"RIFF", size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return head + struct.pack("<I", len(body) if size is None else size) + body


FORM = struct.pack("<HHIIHH", 1, 2, 24000, 96000, 4, 16)
VALUES = np.random.default_rng(4).integers(-32768, 32768, (50, 2)).astype("<i2")


def test_extensible_odd_and_foreign_chunks(tmp_path):
    guid = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    extensible = struct.pack("<HHIIHHHHI", 0xFFFE, 2, 24000, 96000, 4, 16, 22, 16, 3) + guid
    path = tmp_path / "a.wav"
    path.write_bytes(
        riff(
            chunk(b"LIST", b"odd"),
            chunk(b"fmt ", extensible),
            chunk(b"x", b"").replace(b"x", b"junk"),
            chunk(b"data", VALUES.tobytes()),
        )
    )
    np.testing.assert_array_equal(open_recording(path).read(), VALUES)


def test_rf64(tmp_path):
    ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, VALUES.nbytes, len(VALUES), 0))
    data = b"data" + struct.pack("<I", 0xFFFFFFFF) + VALUES.tobytes()
    path = tmp_path / "a.wav"
    path.write_bytes(riff(ds64, chunk(b"fmt ", FORM), data, head=b"RF64", size=0xFFFFFFFF))
    np.testing.assert_array_equal(open_recording(path).read(), VALUES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: 0 bytes"),
        (b"RIFF", "not a WAV file"),
        (b"OggS" + bytes(100), "not a WAV file"),
        (riff(chunk(b"fmt ", FORM)), "is truncated: no samples"),
        (riff(chunk(b"fmt ", FORM[:10])), "is truncated: no samples"),
        (
            riff(chunk(b"fmt ", FORM), chunk(b"data", VALUES.tobytes()))[:-10],
            "its header promises 200 bytes of samples and 190 are there",
        ),
        (riff(chunk(b"fmt ", FORM), chunk(b"data", bytes(6))), "6 bytes of samples are no whole number of frames of 2"),
        (riff(chunk(b"fmt ", FORM), chunk(b"data", b"")), "holds no samples"),
        (
            riff(chunk(b"fmt ", struct.pack("<HHIIHH", 6, 2, 8000, 16000, 2, 8)), chunk(b"data", bytes(8))),
            "WAV format 0x6 of 8 bits",
        ),
        (
            riff(chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 24000, 3, 24)), chunk(b"data", bytes(9))),
            "WAV format 0x1 of 24 bits",
        ),
    ],
)
def test_bad_files(tmp_path, content, message):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(BitspikeError, match=message):
        open_recording(tmp_path / "a.wav")


def test_contradiction(tmp_path):
    (tmp_path / "a.wav").write_bytes(riff(chunk(b"fmt ", FORM), chunk(b"data", VALUES.tobytes())))
    with pytest.raises(BitspikeError, match=r"rate_hz is 24000 by its header, and 30000 was given"):
        open_recording(tmp_path / "a.wav", 30000)


def test_lattice_is_the_stated_formula():
    expected = [math.trunc(Fraction(q * 65535, 1023) - 32768) for q in range(1024)]
    np.testing.assert_array_equal(stretched(), expected)


def test_ten_bit_codes_are_given_back(tmp_path):
    q = np.random.default_rng(5).integers(0, 1024, 3000)
    wavfile.write(tmp_path / "a.wav", 19531, np.trunc(q * (65535 / 1023) - 32768).astype(np.int16))
    recording = open_recording(tmp_path / "a.wav")
    assert recording.format.bits == 10
    np.testing.assert_array_equal(recording.read()[:, 0], q - 512)
    np.testing.assert_array_equal(recording.read(1000, 1010)[:, 0], q[1000:1010] - 512)


def test_one_sample_off_the_lattice_makes_it_a_plain_file(tmp_path):
    values = stretched()[np.random.default_rng(6).integers(0, 1024, 3000)]
    values[2999] += 1
    wavfile.write(tmp_path / "a.wav", 19531, values)
    recording = open_recording(tmp_path / "a.wav")
    assert recording.format.bits == 16
    np.testing.assert_array_equal(recording.read()[:, 0], values)


def test_few_values_are_no_lattice(tmp_path):
    values = stretched()[np.random.default_rng(7).integers(500, 510, 3000)]
    wavfile.write(tmp_path / "a.wav", 19531, values)
    assert open_recording(tmp_path / "a.wav").format.bits == 16


def test_implant_files(data):
    paths = sorted((data / "n1_implant").glob("*.wav"))
    assert len(paths) == 75
    for path in paths[::5]:
        recording = open_recording(path)
        rate, stored = wavfile.read(path)
        assert (recording.format.rate_hz, recording.format.bits, recording.frames) == (rate, 10, len(stored))
        q = recording.read()[:, 0].astype(np.float64) + 512
        assert 0 <= q.min() <= q.max() <= 1023
        np.testing.assert_array_equal(np.trunc(q * 65535 / 1023 - 32768), stored)
