"""``bitspike data``: public recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitspike.console import Result, command, progress

group = typer.Typer(no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.add_typer(group, name="data")


@group.callback()
def data() -> None:
    """List and fetch public recordings."""


@group.command(name="list")
@command
def list_data() -> Result:
    """List the public recordings that there are, and which are here already."""
    from bitspike.printed import grid
    from sensors.datasets import cache_folder, catalogue, is_fetched

    here = {one.name: is_fetched(one) for one in catalogue()}
    document = [
        {
            "name": one.name,
            "description": one.description,
            "doi": one.doi,
            "licence": one.licence,
            "bytes": one.size,
            "opens": one.opens,
            "path": str(cache_folder() / one.name) if here[one.name] else None,
        }
        for one in catalogue()
    ]
    rows = [[one.name, "yes" if here[one.name] else "no", f"{one.size / 1e6:.1f} MB", one.description] for one in catalogue()]
    fetched = f"bitspike data fetch NAME puts one into {cache_folder()}."
    return Result(document, lambda: [grid("Public recordings", ["name", "here", "size", "what"], rows, left=4), fetched])


@group.command(name="fetch")
@command
def fetch_data(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As 'bitspike data list' has it.", show_default=False)],
    source: Annotated[Path | None, typer.Option("--from", metavar="PATH", help="A local copy instead of the net.")] = None,
    cache: Annotated[Path | None, typer.Option("--cache", metavar="DIR", help="Folder to fetch into.")] = None,
) -> Result:
    """Fetch a public recording, checked, or go on with a fetch that broke off."""
    from bitspike.printed import listed
    from sensors.datasets import catalogue, fetch

    with progress(f"fetching {name}", "MB") as advance:
        folder = fetch(name, cache, source, lambda done, total: advance(done / 1e6, total / 1e6))
    opens = next(one.opens for one in catalogue() if one.name == name)
    return Result({"name": name, "path": folder, "opens": opens}, lambda: [listed([("path", str(folder)), ("open", opens)])])
