"""Every registered stage keeps the contract, on every engine that has it."""

from __future__ import annotations

import pytest

from pipeline.chain import load_stages
from pipeline.checks import CHECKS
from pipeline.stage import HOST, REGISTRY

load_stages()

CASES = [
    pytest.param(check, cls, parameters, id=f"{name}-{i}-{check.__name__}")
    for name, cls in sorted(REGISTRY.items())
    for i, parameters in enumerate(cls.examples())
    for check in CHECKS
]


@pytest.mark.parametrize(("check", "cls", "parameters"), CASES)
def test_stage_keeps_contract(check, cls, parameters):
    check(cls, parameters, HOST)
