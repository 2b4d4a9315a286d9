"""The verdicts, and what the document says at its head."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.results import Part, Requirement, markdown, read_json, verdicts, write_json

FACTS = {"command": "python -m benchmarks", "machine": "one", "versions": {"python": "3"}}


def parts(seconds):
    return {
        "start": Part("Start", requirements=[Requirement("One", 2.0, 1.0)], seconds=100.4),
        "speed": Part("Speed", requirements=[Requirement("Two", 2.0, 1.0, "s", at_least=False)], seconds=seconds),
    }


@pytest.mark.parametrize(
    ("figure", "at_least", "reached"),
    [
        (0.97, True, True),
        (0.96, True, False),
        (0.97, False, False),
        (0.96, False, True),
        (np.nan, True, False),
        (np.nan, False, False),
    ],
)
def test_verdicts(figure, at_least, reached):
    requirement = Requirement("a figure", figure, 0.97, at_least=at_least)
    assert requirement.reached == reached
    assert str(requirement).startswith("PASS " if reached else "MISSED ")


@pytest.mark.parametrize(("seconds", "verdict"), [(500.0, "PASS  "), (799.6, "MISSED")])
def test_a_whole_run_has_a_limit(seconds, verdict):
    text = markdown({**FACTS, "whole": True}, parts(seconds))
    assert f"Seconds of each part: start 100, speed {seconds:.0f}; {100.4 + seconds:.0f} in all.\n" in text
    assert f"- {verdict}  Whole run of the benchmarks: " in text
    assert f"Of the 3 requirements {1 + (verdict == 'PASS  ')} are reached." in text


@pytest.mark.parametrize("facts", [FACTS, {**FACTS, "whole": False, "again": ["speed"]}])
def test_parts_measured_again_have_none(facts):
    assert [one.what for one in verdicts(facts, parts(5000.0))] == ["One", "Two"]
    text = markdown(facts, parts(5000.0))
    assert "start 100, speed 5000; 5100 in all." in text
    assert "Whole run" not in text


def test_what_is_written_is_read(tmp_path):
    write_json(tmp_path / "figures.json", {**FACTS, "whole": True}, parts(5.0))
    assert read_json(tmp_path / "figures.json") == ({**FACTS, "whole": True}, parts(5.0))
