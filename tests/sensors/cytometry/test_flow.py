"""Flow and arrivals, against a finite-difference solution and the statistics they should have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.sparse import diags, identity, kron
from scipy.sparse.linalg import spsolve

from sensors.cytometry.flow import draw_arrivals, flow_speed
from sensors.cytometry.parameters import Channel, CytometerParameters, Drift, ParticleClass
from sensors.cytometry.runs import draw_conditions, under

NONE = np.empty(0)


@pytest.mark.parametrize(("width", "depth"), [(200.0, 100.0), (60.0, 240.0), (100.0, 100.0)])
def test_profile_solves_poissons_equation(width, depth):
    """Laplace u = -1 with u = 0 at the walls, on a grid."""
    n = 60
    y, z = (np.arange(1, n) / n - 0.5) * width, (np.arange(1, n) / n - 0.5) * depth
    second = diags([1.0, -2.0, 1.0], [-1, 0, 1], (n - 1, n - 1))
    laplace = kron(second / (width / n) ** 2, identity(n - 1)) + kron(identity(n - 1), second / (depth / n) ** 2)
    u = spsolve(laplace.tocsc(), -np.ones((n - 1) ** 2)).reshape(n - 1, n - 1)
    ours = flow_speed(Channel(width, depth, 0.8), y[:, None], z[None, :])
    assert ours == pytest.approx(0.8 * u / u[n // 2 - 1, n // 2 - 1], abs=0.8 * 0.005)


def test_profile_is_zero_at_the_walls_and_fastest_in_the_middle():
    channel = Channel(200.0, 100.0, 0.5)
    assert flow_speed(channel, np.array([0.0]), np.array([0.0]))[0] == pytest.approx(0.5)
    walls = flow_speed(channel, np.array([100.0, -100.0, 0.0, 30.0]), np.array([0.0, 20.0, 50.0, -50.0]))
    assert walls == pytest.approx(np.zeros(4), abs=1e-3)
    wide = Channel(2000.0, 20.0, 0.5)  # as between plates
    assert flow_speed(wide, np.zeros(5), np.linspace(-8, 8, 5)) == pytest.approx(
        0.5 * (1 - (np.linspace(-8, 8, 5) / 10) ** 2), rel=1e-3
    )


def drawn(**changes):
    given = CytometerParameters(**{"seconds": 20.0, "rate": 400.0, "seed": 5, **changes})
    run = draw_conditions(given)
    now = under(given, run)
    return draw_arrivals(now, run, 1000.0, NONE), now, run


def test_arrivals_are_a_poisson_process():
    arrivals, _, _ = drawn()
    assert len(arrivals) == pytest.approx(8000, abs=4 * np.sqrt(8000))
    assert stats.kstest(np.diff(arrivals.centre_us), "expon", args=(0, 2500.0)).pvalue > 0.001
    assert arrivals.centre_us[0] >= -1000
    assert arrivals.centre_us[-1] < 20_001_000


def test_particles_are_those_of_their_classes():
    classes = (ParticleClass(12.0, 0.03, 1.489, share=1.0), ParticleClass(20.0, 0.01, 1.489, share=3.0))
    arrivals, now, run = drawn(classes=classes)
    assert (arrivals.kind == 1).mean() == pytest.approx(0.75, abs=0.03)
    for kind, one in enumerate(classes):
        mine = arrivals.diameter_um[arrivals.kind == kind]
        assert mine.mean() == pytest.approx(one.diameter_um, rel=0.005)
        assert mine.std() == pytest.approx(one.diameter_um * one.diameter_cv, rel=0.1)
    assert arrivals.y_um.mean() == pytest.approx(run.offset_um[0], abs=0.6)
    assert arrivals.y_um.std() == pytest.approx(now.channel.spread_um[0], rel=0.05)
    assert arrivals.speed == pytest.approx(flow_speed(now.channel, arrivals.y_um, arrivals.z_um))


def test_particles_keep_off_the_walls():
    narrow = Channel(60.0, 40.0, 0.5, (200.0, 200.0))
    arrivals, _, _ = drawn(channel=narrow)
    assert (np.abs(arrivals.y_um) + arrivals.diameter_um / 2 < 30).all()
    assert (np.abs(arrivals.z_um) + arrivals.diameter_um / 2 < 20).all()
    assert (arrivals.speed > 0).all()


def test_runs_differ_and_drift_as_far_as_asked():
    given = CytometerParameters(seed=2, drift=Drift(camera_um=0.0, trim=0.0))
    runs = [draw_conditions(given.with_(run=r)) for r in range(400)]
    drift = given.drift
    for name in ("illumination", "focus", "speed", "on_threshold", "off_threshold"):
        spread = drift.threshold if name.endswith("threshold") else getattr(drift, name)
        assert np.std(np.log([getattr(r, name) for r in runs])) == pytest.approx(spread, rel=0.12)
    assert np.std([r.beam_px for r in runs], axis=0) == pytest.approx(drift.alignment_px, rel=0.12)
    assert np.std([r.offset_um for r in runs], axis=0) == pytest.approx(drift.offset_um, rel=0.12)
    assert draw_conditions(given.with_(run=7)) == runs[7]


def test_conditions_act_on_the_parameters():
    given = CytometerParameters(seed=2, run=3)
    run = replace(
        draw_conditions(given), illumination=0.5, focus=1.1, distance=1.2, speed=2.0, on_threshold=1.5, beam_px=(3.0, 4.0)
    )
    now = under(given, run)
    assert now.optics.stray == pytest.approx(2 * given.optics.stray)
    assert now.pixel.response_us == pytest.approx(2 * given.pixel.response_us)
    assert now.optics.source_mm == pytest.approx(1.1 * given.optics.source_mm)
    assert now.optics.sensor_mm == pytest.approx(1.2 * given.optics.sensor_mm)
    assert now.channel.speed_m_s == pytest.approx(2 * given.channel.speed_m_s)
    assert now.pixel.on_threshold == pytest.approx(1.5 * given.pixel.on_threshold)
    assert now.optics.beam_px == (3.0, 4.0)
