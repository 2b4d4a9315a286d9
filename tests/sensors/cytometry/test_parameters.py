"""Parameters: what is refused, and how, and that files hold all of them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from pipeline.errors import BitspikeError
from sensors.cytometry.parameters import (
    Arbiter,
    Channel,
    CytometerParameters,
    Drift,
    Optics,
    ParticleClass,
    Pixel,
    read_parameters,
    write_parameters,
)


def test_a_file_holds_everything(tmp_path):
    given = CytometerParameters(
        seconds=2.5,
        rate=999.0,
        run=7,
        seed=8,
        classes=(ParticleClass(12.0, 0.03, 1.5, 2.0), ParticleClass(18.0)),
        optics=Optics(stray=1e-3, beam_px=(3.0, -4.0)),
        channel=Channel(spread_um=(1.0, 2.0)),
        pixel=Pixel(on_threshold=0.3),
        arbiter=Arbiter(row_ns=100.0),
        drift=Drift(focus=0.0),
    )
    write_parameters(tmp_path / "p.json", given)
    assert read_parameters(tmp_path / "p.json") == given


def test_a_toml_file_names_what_differs(tmp_path):
    file = tmp_path / "p.toml"
    file.write_text("rate = 20\n[pixel]\non_threshold = 0.3\n[[classes]]\ndiameter_um = 12.0\nshare = 3\n[[classes]]\n")
    found = read_parameters(str(file))
    assert found == CytometerParameters(
        rate=20, pixel=Pixel(on_threshold=0.3), classes=(ParticleClass(12.0, share=3), ParticleClass())
    )


def test_the_plane_wave_that_makes_the_same_hologram():
    optics = Optics(source_mm=5.0, sensor_mm=45.0)
    assert optics.magnification == 10
    assert optics.distance_um == 4500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: replace(p, seconds=0), "cytometer.seconds: 0 cannot be simulated; choose 0.001 to 86400"),
        (lambda p: replace(p, rate=float("nan")), "cytometer.rate: nan cannot"),
        (lambda p: replace(p, rate="many"), "cytometer.rate: many cannot"),
        (lambda p: replace(p, seed=1.5), "cytometer.seed: 1.5 cannot be simulated; choose a whole number"),
        (lambda p: replace(p, run=-1), "cytometer.run: -1 cannot"),
        (lambda p: replace(p, classes=()), "classes: 0 cannot be simulated; give 1 to 16"),
        (lambda p: replace(p, classes=(ParticleClass(share=0),)), "class.share: 0 cannot be simulated; let one share"),
        (
            lambda p: replace(p, classes=(ParticleClass(59.0, 0.2),)),
            "class.diameter_um: 59.0 cannot be simulated; the channel is 100",
        ),
        (lambda p: replace(p, pixel=replace(p.pixel, mismatch=0.9)), "pixel.mismatch: 0.9 cannot be simulated; choose 0 to 0.3"),
        (lambda p: replace(p, pixel=replace(p.pixel, width=640.5)), "pixel.width, height, hot_pixels"),
        (lambda p: replace(p, optics=replace(p.optics, stray=0)), "optics.stray: 0 cannot"),
        (lambda p: replace(p, optics=replace(p.optics, beam_px=(1.0, 999.0))), "optics.beam_px"),
        (lambda p: replace(p, channel=replace(p.channel, spread_um=(1.0, -1.0))), "channel.spread_um"),
        (lambda p: replace(p, arbiter=Arbiter(0, 0)), "arbiter.row_ns, event_ns"),
        (lambda p: replace(p, drift=Drift(focus=1.0)), "drift.focus: 1.0 cannot"),
        (lambda p: replace(p, drift=Drift(trim=1.1)), "drift.trim: 1.1 cannot be simulated; choose 0 to 1"),
        (lambda p: replace(p, drift=Drift(distance_mm=-1.0)), "drift.distance_mm: -1.0 cannot"),
    ],
)
def test_what_cannot_be_simulated_is_refused(change, message):
    with pytest.raises(BitspikeError, match=message):
        change(CytometerParameters())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.json", "{", "not readable as JSON"),
        ("p.json", "[]", "holds no table of parameters"),
        ("p.json", '{"rates": 3}', "p.json: parameters.rates: there is no such parameter; there are seconds, rate"),
        ("p.json", '{"pixel": {"on": 3}}', "p.json: pixel.on: there is no such parameter"),
        ("p.json", '{"pixel": 3}', "p.json: pixel: is no table of fields"),
        ("p.json", '{"classes": 16}', "p.json: classes: is no list"),
        ("p.json", '{"channel": {"spread_um": 3}}', "p.json: channel"),
        ("p.json", '{"rate": -5}', "p.json: cytometer.rate: -5 cannot be simulated"),
        ("p.toml", "rate = ", "not readable as TOML"),
        ("missing.toml", None, "no such file"),
    ],
)
def test_bad_files_are_named(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(BitspikeError, match=message) as caught:
        read_parameters(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_written_is_plain_json(tmp_path):
    write_parameters(tmp_path / "p.json", CytometerParameters())
    assert json.loads((tmp_path / "p.json").read_text()) == json.loads(json.dumps(asdict(CytometerParameters())))
