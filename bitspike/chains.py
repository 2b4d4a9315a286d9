"""Chains as a person asks for them: by name, with some parameters changed."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.chain import ChainPlan, parse_chain, read_chain
from pipeline.errors import BitspikeError


def chosen_chain(name: str | Path, settings: list[str] | None = None) -> ChainPlan:
    """Read a chain and change some of its parameters.

    Parameters
    ----------
    name : str or pathlib.Path
        Of a packaged chain, or a TOML file.
    settings : list of str, optional
        ``label.parameter=value``, such as "threshold.polarity=positive".

    Returns
    -------
    ChainPlan
        Its `text` is a TOML file that says the same.

    Raises
    ------
    BitspikeError
        The chain cannot be read, has no such stage or parameter, or refuses the value.
    """
    plan = read_chain(name)
    if not settings:
        return plan
    document = tomllib.loads(plan.text)
    for setting in settings:
        place, equals, value = setting.partition("=")
        label, dot, parameter = place.strip().rpartition(".")
        if not (equals and dot):
            raise BitspikeError(f"--set {setting}: write LABEL.PARAMETER=VALUE, such as threshold.polarity=positive")
        stages = [entry for entry in document["stage"] if entry.get("label", entry["name"]) == label]
        if not stages:
            raise BitspikeError(
                f"--set {setting}: no stage is labelled {label!r}; there are: {', '.join(s.label for s in plan.steps)}"
            )
        stages[0][parameter] = _value(value.strip())
    text = to_toml(document)
    return replace(parse_chain(text, plan.name, f"chain {plan.name} with --set {' '.join(settings)}"), name=plan.name)


def to_toml(document: dict[str, Any]) -> str:
    """Return a chain's document as TOML; its values are text, numbers, true or false, and lists of text, as JSON writes them."""
    top = [f"{key} = {json.dumps(value)}" for key, value in document.items() if key not in ("sensor", "stage")]
    tables = [("[sensor]", document["sensor"])] if "sensor" in document else []
    tables += [("[[stage]]", entry) for entry in document["stage"]]
    blocks = [[head, *(f"{key} = {json.dumps(value)}" for key, value in entry.items())] for head, entry in tables]
    return "\n\n".join("\n".join(block) for block in [top, *blocks]) + "\n"


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
