"""``bitspike export``: a run for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitspike.console import Result, command


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="export")(export)


@command
def export(
    out: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    phy: Annotated[Path | None, typer.Option("--phy", metavar="DIR", help="Make a folder for Phy's template-gui.")] = None,
    nwb: Annotated[Path | None, typer.Option("--nwb", metavar="FILE", help="Make an NWB file (ephys extra).")] = None,
) -> Result:
    """Write a run's units for Phy or as NWB; SpikeInterface reads a run with bitspike.read_sorting."""
    from bitspike.export import export_nwb, export_phy
    from bitspike.printed import listed
    from bitspike.runs import Run
    from pipeline.errors import BitspikeError

    if phy is None and nwb is None:
        raise BitspikeError("export: say where to: --phy DIR or --nwb FILE")
    run = Run(out)
    made = {}
    if phy is not None:
        made["phy"] = export_phy(run, phy)
    if nwb is not None:
        made["nwb"] = export_nwb(run, nwb)
    return Result({"run": str(out), **made}, lambda: [listed([(kind, str(path)) for kind, path in made.items()])])
