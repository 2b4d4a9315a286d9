"""Simulated particles at a thousand a second through the packaged chain: all are found, and what overlaps is flagged."""

from __future__ import annotations

import numpy as np
import pytest

from bitspike.passages import PassageScore, covering, score_passages
from pipeline.blocks import DOUBLET, Particles, concatenate
from pipeline.chain import read_chain
from sensors.cytometry.parameters import CytometerParameters
from sensors.cytometry.simulator import CytometerSimulator
from sensors.cytometry.truth import COLUMNS, ParticleTruth

SEED, SECONDS, LEARNED_US = 3001, 0.08, 30_000  # no settings were chosen on this seed


def test_passages_are_found():
    simulator = CytometerSimulator(CytometerParameters(seconds=SECONDS, rate=1000, seed=SEED))
    chain = read_chain("cytometry").build(simulator.format)
    parts = [chain.process(block)["tracker"] for block in simulator.blocks(1000)] + [chain.finish()["tracker"]]
    found = concatenate(parts)
    score = score_passages(found, simulator.truth(), LEARNED_US, simulator.stop_us)
    assert score.particles >= 30
    assert score.shared >= 8
    assert score.found_share >= 0.99
    assert score.wrong_share <= 0.01
    assert score.flagged_share >= 0.95
    assert score.flagged_single_share <= 0.3
    assert np.all(found.closed_us - found.last_us <= 1000)


def passages(*spans):
    """Return the truth of particles that enter, pass the axis and leave at these times."""
    n, (enter, centre, leave) = len(spans), (np.array(column) for column in zip(*spans, strict=True))
    overlap = np.array([sum(e < one[2] and one[0] < f for e, _, f in spans) > 1 for one in spans])
    given = {"enter_us": enter, "exit_us": leave, "centre_us": centre, "overlap": overlap}
    return ParticleTruth(**{name: given.get(name, np.zeros(n)).astype(kind) for name, kind in COLUMNS.items()})


def records(*spans):
    """Return records from, to and flagged; each is there 150 us after its last event."""
    n, (first, last, flags) = len(spans), (np.array(column) for column in zip(*spans, strict=True))
    none = np.zeros((n, 4), np.int32)
    return Particles(
        0, 100_000, np.arange(n, dtype=np.int32), first, last, last + 150, none, none[:, :2], none[:, :2], none[:, :2], none,
        np.where(flags, DOUBLET, 0).astype(np.uint8), last, last, flags.astype(np.uint8), none.astype(np.uint8),
    )  # fmt: skip


TRUE = passages((1000, 1200, 1400), (3000, 3200, 3400), (3300, 3500, 3700), (6000, 6200, 6400), (6900, 7100, 7300))


@pytest.mark.parametrize(
    ("made", "counts"),
    [
        (
            [(1010, 1390, 0), (3010, 3690, 1), (6010, 6390, 0), (6910, 7290, 0)],
            {"found": 5, "records": 4, "shared": 1, "flagged": 1, "singles": 3, "told": 2},
        ),
        (  # the overlapping ones told apart, one of them flagged all the same
            [(1010, 1390, 0), (3010, 3320, 1), (3330, 3690, 0), (6010, 6390, 0), (6910, 7290, 0)],
            {"found": 5, "records": 5, "singles": 5, "flagged_singles": 1, "resolved": 2, "told": 2},
        ),
        (  # a doublet that is not flagged, and a further record that joins two particles that were apart
            [(1010, 1390, 0), (3010, 3690, 0), (6010, 7290, 1)],
            {"found": 5, "records": 3, "shared": 2, "flagged": 1, "singles": 1, "joined": 2},
        ),
        (  # a passage in two pieces, a record of nothing, two particles that are missed, and a record that is late
            [(1010, 1230, 0), (1240, 1390, 0), (2000, 2300, 0), (3010, 5000, 1)],
            {"found": 3, "records": 4, "false": 1, "split": 1, "shared": 1, "flagged": 1, "singles": 1, "told": 2, "late": 1},
        ),
    ],
)
def test_what_is_counted(made, counts):
    expected = PassageScore(particles=5, overlapping=2, **counts)
    assert score_passages(records(*made), TRUE, 0, 100_000) == expected
    assert score_passages(records(*reversed(made)), TRUE, 0, 100_000) == expected


def test_what_is_not_over_does_not_count():
    made = records((1010, 1390, 0), (3010, 3690, 1))
    assert score_passages(made, TRUE, 2000, 4700) == PassageScore(
        particles=2, found=2, records=1, shared=1, flagged=1, overlapping=2, told=2
    )
    assert score_passages(made, TRUE, 2000, 4600) == PassageScore(
        particles=1, found=1, records=1, shared=1, flagged=1, overlapping=1, told=1
    )
    assert np.isnan(score_passages(made, TRUE, 50_000, 100_000).found_share)


def test_the_nearest_record_covers():
    first, last = np.array([0, 100, 900]), np.array([500, 300, 1000])
    assert covering(first, last, np.array([260.0, 210.0, 50.0, 700.0, 885.0, 1021.0])).tolist() == [0, 1, 0, -1, 2, -1]
