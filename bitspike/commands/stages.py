"""``bitspike stages``: the stages there are, with their parameters."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitspike.console import Result, command

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipeline.stage import Stage


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="stages")(stages)


@command
def stages(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Say everything about this stage.")] = None,
) -> Result:
    """List the stages that a chain can be made of, and their parameters."""
    from pipeline.chain import load_stages
    from pipeline.stage import REGISTRY, stage

    load_stages()
    chosen = [stage(name)] if name else [REGISTRY[known] for known in sorted(REGISTRY)]
    described = [describe(cls) for cls in chosen]
    return Result(described, lambda: _one(described[0]) if name else _all(described))


def describe(cls: type[Stage]) -> dict[str, Any]:
    """Return a stage's purpose, inputs, output, and parameters with their meaning and default."""
    meaning = attributes(cls.Parameters.__doc__ or "")
    import sys

    return {
        "name": cls.name,
        "purpose": (sys.modules[cls.__module__].__doc__ or "").strip().split("\n\n")[0].replace("\n", " "),
        "takes": [kind.__name__ for kind in cls.takes],
        "gives": cls.gives.__name__,
        "parameters": [
            {"name": field.name, "default": field.default, "meaning": meaning.get(field.name, "")}
            for field in fields(cls.Parameters)
        ],
    }


def attributes(text: str) -> dict[str, str]:
    """Return the meaning of every attribute that a NumPy-style docstring describes; one line may describe several."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.expandtabs().splitlines():
        body = line.strip()
        indent = len(line) - len(line.lstrip())
        if " : " in body and indent <= 4:
            names = [name.strip() for name in body.split(" : ")[0].split(",")]
        elif names and body and indent > 4:
            for name in names:
                found[name] = f"{found.get(name, '')} {body}".strip()
        elif not body:
            names = []
    return found


def _all(described: list[dict[str, Any]]) -> list[RenderableType]:
    from bitspike.printed import grid

    rows = [
        [one["name"], f"{' + '.join(one['takes'])} → {one['gives']}", ", ".join(p["name"] for p in one["parameters"]) or "–"]
        for one in described
    ]
    return [
        grid("Stages", ["name", "takes → gives", "parameters"], rows, left=3),
        "bitspike stages NAME says what each parameter means.",
    ]


def _one(one: dict[str, Any]) -> list[RenderableType]:
    from bitspike.printed import grid

    rows = [[p["name"], repr(p["default"]), p["meaning"]] for p in one["parameters"]]
    title = f"{one['name']}: {' + '.join(one['takes'])} → {one['gives']}"
    return [one["purpose"], grid(title, ["parameter", "default", "meaning"], rows, left=3)]
