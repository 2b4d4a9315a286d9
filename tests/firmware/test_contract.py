"""Every stage that has a C twin keeps the contract on every engine, and no stage is forgotten."""

from __future__ import annotations

import pytest

from firmware import WITHOUT_TWIN, has
from firmware.build import CORES
from firmware.native import Native
from firmware.target import Target
from pipeline.chain import load_stages
from pipeline.checks import CHECKS, check_full_scale, check_same_as_host
from pipeline.stage import REGISTRY

load_stages()
MOST = 24  # channels; the checks use up to 17
TWINS = {name: cls for name, cls in sorted(REGISTRY.items()) if has(name)}


def test_every_stage_has_a_twin_or_a_reason():
    assert {name for name in REGISTRY if not has(name)} == set(WITHOUT_TWIN)
    assert all(WITHOUT_TWIN.values())


def cases(full):
    """Every check with the first example of each stage; the others differ in tables only: `full` for those."""
    for name, cls in TWINS.items():
        for i, parameters in enumerate(cls.examples()):
            for check in CHECKS if i == 0 else full:
                yield pytest.param(check, cls, parameters, id=f"{name}-{i}-{check.__name__}")


@pytest.mark.parametrize(("check", "cls", "parameters"), list(cases(full=(check_same_as_host, check_full_scale))))
def test_stage_keeps_contract_natively(check, cls, parameters):
    check(cls, parameters, Native())


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(("check", "cls", "parameters"), list(cases(full=(check_same_as_host,))))
def test_stage_keeps_contract_on_target(check, cls, parameters, core):
    check(cls, parameters, Target(core, MOST))
