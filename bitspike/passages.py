"""Scores of tracked particles against the truth of a simulated cytometer: what counts as found, missed, false, split and doublet.

A particle passes the beam's axis at `centre_us` of the truth; its passage lasts from `enter_us` to `exit_us`. A record **covers** a
particle if that moment lies between the record's first and last event, or at most `NEAR_US` outside; a particle that several
records cover is the one's whose middle is nearest. So each particle has one record at most.

- **found**: a particle that a record covers; **missed**: one that none does.
- **split**: a record that covers no particle, but lies in the passage of one: a second record of the same. **false**: a record
  that covers no particle and lies in no passage.
- **shared**: a record that covers two particles or more. It is a doublet (or a larger group) that was not resolved, and must be
  flagged. It does not matter whether their passages overlap, or whether the tracker joined what was apart.
- **single**: a record that covers one particle; it should not be flagged.
- **overlapping**: a particle whose passage overlaps another's. It is **resolved** if its record covers it alone; it is **told** if
  it is resolved or its record is flagged. What is resolved counts nowhere as a flagged doublet.
- **joined**: a found particle whose passage overlaps no other's, but whose record is shared all the same.

Particles count whose passage lies within the stretch that is scored, and ended `WITHIN_US` before the recording did: so long may
a record take. Records that cover others only do not count.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from pipeline.blocks import DOUBLET, Particles
from sensors.cytometry.truth import ParticleTruth

NEAR_US = 20
WITHIN_US = 1000


@dataclass(frozen=True)
class PassageScore:
    """Counts; see the module. Scores of several recordings add up.

    Attributes
    ----------
    particles, found : int
        True particles, and those that were found.
    records, false, split : int
        Records, and those that are no particle's, or a further one of the same particle.
    shared, flagged : int
        Records that cover several particles, and those of them that are flagged.
    singles, flagged_singles : int
        Records that cover one particle, and those of them that are flagged all the same.
    overlapping, resolved, told : int
        Particles whose passage overlaps another's; those with a record of their own; those with one of their own or a flagged one.
    joined : int
        Particles that overlap no other and yet share a record.
    late : int
        Records that were there later than `WITHIN_US` after the exit of the last particle that they cover.
    """

    particles: int = 0
    found: int = 0
    records: int = 0
    false: int = 0
    split: int = 0
    shared: int = 0
    flagged: int = 0
    singles: int = 0
    flagged_singles: int = 0
    overlapping: int = 0
    resolved: int = 0
    told: int = 0
    joined: int = 0
    late: int = 0

    def __add__(self, other: PassageScore) -> PassageScore:
        return PassageScore(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def found_share(self) -> float:
        """Found particles, of all."""
        return _share(self.found, self.particles)

    @property
    def wrong_share(self) -> float:
        """False and split records, of all records."""
        return _share(self.false + self.split, self.records)

    @property
    def flagged_share(self) -> float:
        """Flagged records, of those that cover several particles."""
        return _share(self.flagged, self.shared)

    @property
    def told_share(self) -> float:
        """Overlapping particles that are resolved or flagged, of all that overlap another."""
        return _share(self.told, self.overlapping)

    @property
    def flagged_single_share(self) -> float:
        """Flagged records, of those that cover one particle."""
        return _share(self.flagged_singles, self.singles)

    def document(self) -> dict[str, Any]:
        """Return the counts and shares as plain values."""
        shares = ("found_share", "wrong_share", "flagged_share", "told_share", "flagged_single_share")
        return {**asdict(self), **{name: getattr(self, name) for name in shares}}


def score_passages(found: Particles, truth: ParticleTruth, start_us: int, stop_us: int) -> PassageScore:
    """Score the records of a recording.

    Parameters
    ----------
    found : Particles
        All records, in any order.
    truth : ParticleTruth
        Of the same recording.
    start_us, stop_us : int
        The stretch that is scored; `stop_us` is the end of the recording, or before it.
    """
    counts = (truth.enter_us >= start_us) & (truth.exit_us + WITHIN_US <= stop_us)
    record = covering(found.first_us, found.last_us, truth.centre_us)
    has = record >= 0
    covered = np.bincount(record[has], minlength=len(found))
    worth = np.bincount(record[has & counts], minlength=len(found)) > 0
    empty = (covered == 0) & (found.first_us >= start_us) & (found.last_us + WITHIN_US <= stop_us)
    inside = _in_passages(found.first_us, found.last_us, truth)
    flagged = (found.flags & DOUBLET) != 0
    shared, single = worth & (covered > 1), worth & (covered == 1)
    alone, marked = has.copy(), has.copy()
    alone[has] = covered[record[has]] == 1
    marked[has] = flagged[record[has]]
    overlapping = counts & truth.overlap
    left = np.full(len(found), np.iinfo(np.int64).min)
    np.maximum.at(left, record[has], truth.exit_us[has])
    numbers = {
        "particles": counts,
        "found": counts & has,
        "records": worth | empty,
        "false": empty & ~inside,
        "split": empty & inside,
        "shared": shared,
        "flagged": shared & flagged,
        "singles": single,
        "flagged_singles": single & flagged,
        "overlapping": overlapping,
        "resolved": overlapping & alone,
        "told": overlapping & (alone | marked),
        "joined": counts & ~truth.overlap & has & ~alone,
        "late": worth & (found.closed_us > left + WITHIN_US),
    }
    return PassageScore(**{name: int(np.count_nonzero(one)) for name, one in numbers.items()})


def covering(first_us: np.ndarray, last_us: np.ndarray, at_us: np.ndarray) -> np.ndarray:
    """Return which record covers each of some moments: int64 [moments], -1 for none."""
    order = np.argsort(first_us, kind="stable")
    first, last = first_us[order], last_us[order]
    longest = int((last - first).max(initial=0)) + 2 * NEAR_US
    begin, end = np.searchsorted(first, at_us - longest), np.searchsorted(first, at_us + NEAR_US, side="right")
    out = np.full(len(at_us), -1, np.int64)
    for i, at in enumerate(at_us):
        near = np.arange(begin[i], end[i])
        near = near[last[near] >= at - NEAR_US]
        if len(near):
            out[i] = order[near[np.argmin(abs(first[near] + last[near] - 2 * at))]]
    return out


def _in_passages(first_us: np.ndarray, last_us: np.ndarray, truth: ParticleTruth) -> np.ndarray:
    """Return which records have any moment in common with a passage: bool [records]."""
    order = np.argsort(truth.enter_us, kind="stable")
    latest = np.maximum.accumulate(np.concatenate([[np.iinfo(np.int64).min], truth.exit_us[order]]))
    begun = np.searchsorted(truth.enter_us[order], last_us, side="right")
    return latest[begun] >= first_us


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
