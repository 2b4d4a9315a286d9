"""The command line, and the one place where an error becomes a line.

Commands import what they need when they run, so that ``--help`` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from typing import Annotated

import typer

from bitspike.commands import (
    convert,
    cost,
    data,
    demo,
    export,
    info,
    replay,
    report,
    score,
    simulate,
    stages,
    tables,
    train,
    verify,
)
from bitspike.console import INTERRUPTED, say
from pipeline.errors import BitspikeError

BAD = 2  # exit status after any error

app = typer.Typer(
    name="bitspike",
    add_completion=False,
    rich_markup_mode="rich",
    help="Spikes from neural recordings by integer arithmetic, the same bits on this machine and in firmware.",
    epilog="Start with [bold]bitspike demo[/bold], then [bold]bitspike replay RECORDING[/bold].",
)
for commands in (replay, train, score, info, convert, report, export, simulate, data, stages, tables, verify, cost, demo):
    commands.add_to(app)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Spikes from neural recordings by integer arithmetic, the same bits on this machine and in firmware."""
    if version:
        from importlib import metadata

        typer.echo(f"bitspike {metadata.version('bitspike')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit
    if not debug:
        warnings.simplefilter("ignore")  # of libraries: an error is one line, and a result is only the result


def run(arguments: list[str]) -> int:
    """Run the program; return its exit status: 0, 2 after an error (one line on standard error), 130 when interrupted."""
    debug = "--debug" in arguments or bool(os.environ.get("BITSPIKE_DEBUG"))
    try:
        return app(arguments, standalone_mode=False, prog_name="bitspike") or 0
    except Exception as error:
        if type(error).__name__ == "Abort":  # the command-line parser's name for an interrupt
            say("interrupted")
            return INTERRUPTED
        if isinstance(error, BrokenPipeError):  # the reader of our output left, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        if debug:
            raise
        say(_line(error))
        return BAD


def _line(error: Exception) -> str:
    """Return the one line that tells a person what went wrong and how to mend it."""
    if isinstance(error, BitspikeError):
        return str(error)
    if hasattr(error, "format_message"):  # of the command-line parser
        return f"{error.format_message().rstrip('.')}; see 'bitspike --help'"
    if isinstance(error, OSError):
        cure = {
            errno.ENOSPC: "the disk is full; free some space, or write to another disk",
            errno.EDQUOT: "the disk quota is used up; free some space, or write to another disk",
            errno.EACCES: "no permission; choose another path, or change its permissions",
            errno.EROFS: "the disk is read-only; write to another one",
        }.get(error.errno or 0, error.strerror or str(error))
        return f"{error.filename}: {cure}" if error.filename else cure
    if isinstance(error, MemoryError):
        return "out of memory; use a smaller --block-ms, or fewer channels"
    return f"internal error: {type(error).__name__}: {error} (bitspike --debug shows where)"


def main() -> None:
    """Run the program with this process's arguments."""
    sys.exit(run(sys.argv[1:]))
