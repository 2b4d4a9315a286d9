"""What the program says: one result on standard output, for a person or as one JSON document, and all else on standard error."""

from __future__ import annotations

import inspect
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, TextIO, get_type_hints

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

Progress = Callable[[float, float], None]  # seconds of the recording done, and in all
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")]

INTERRUPTED = 128 + signal.SIGINT  # exit status
KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
LINE_EVERY_S = 5.0  # between two lines of progress where there is no terminal


@dataclass(frozen=True)
class Result:
    """What a command found: plain values for programs, and tables and lines for people."""

    document: Any
    lines: Callable[[], list[RenderableType]]
    status: int = 0  # with which the program ends


def command(function: Callable[..., Result]) -> Callable[..., None]:
    """Make a command of a function that returns its `Result`: print that, and give it the option ``--json``.

    While it runs, whatever any library prints goes to standard error, so that standard output holds the result and nothing else.
    """

    @wraps(function)
    def run(*arguments: Any, as_json: bool = False, **named: Any) -> None:
        out = sys.stdout
        try:
            with redirect_stdout(sys.stderr):
                found = function(*arguments, **named)
        except KeyboardInterrupt as stop:
            say(str(stop) or "interrupted")
            raise typer.Exit(INTERRUPTED) from None
        show(found, as_json, out)
        if found.status:
            raise typer.Exit(found.status)

    return with_options(run, function, {"as_json": (Json, False)})


def with_options(
    run: Callable[..., Any], function: Callable[..., Any], added: dict[str, Any], gone: str = ""
) -> Callable[..., Any]:
    """Make `run` look to the command-line parser like `function` with the options `added`, and without the parameter `gone`.

    `added` is name to (annotation, default).
    """
    kinds = get_type_hints(function, include_extras=True)
    known = [p.replace(annotation=kinds[p.name]) for p in inspect.signature(function).parameters.values() if p.name != gone]
    options = [inspect.Parameter(name, KEYWORD_ONLY, annotation=kind, default=value) for name, (kind, value) in added.items()]
    signature = inspect.Signature([*known, *options])
    run.__dict__["__signature__"] = signature
    run.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    del run.__dict__["__wrapped__"]
    return run


def show(found: Result, as_json: bool, out: TextIO) -> None:
    """Print a result."""
    if as_json:
        from pipeline.manifest import plain

        out.write(json.dumps(plain(found.document), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    else:
        from rich.console import Console

        class Output(Console):
            def on_broken_pipe(self) -> None:
                raise BrokenPipeError  # and not leave at once: the program decides

        console = Output(file=out, highlight=False, soft_wrap=not out.isatty())
        for line in found.lines():
            console.print(line)
    out.flush()


@contextmanager
def progress(what: str, of: str = "s") -> Iterator[Progress]:
    """Give a function ``advance(done, total)`` that keeps a person informed on standard error.

    On a terminal it is a bar with the speed and the time left; elsewhere a plain line every few seconds.

    Parameters
    ----------
    what : str
        What is going on.
    of : str
        What is counted: "s", seconds of a recording, whose speed is in times real time; or "MB".
    """
    speed_of = "x real time" if of == "s" else f"{of}/s"
    if sys.stderr.isatty():
        yield from _bar(what, speed_of)
    else:
        yield _lines(what, of, speed_of)


def _bar(what: str, speed_of: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[speed]}"),
    )
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bars:
        task, pace = bars.add_task(what, speed="", total=None), _Pace()

        def advance(done: float, total: float) -> None:
            speed = pace.speed(done)
            bars.update(task, completed=done, total=total, speed=f"{speed:.0f} {speed_of}" if speed else "")

        yield advance


def _lines(what: str, of: str, speed_of: str) -> Progress:
    pace, said = _Pace(), time.perf_counter()

    def advance(done: float, total: float) -> None:
        nonlocal said
        speed, now = pace.speed(done), time.perf_counter()
        if speed and now - said >= LINE_EVERY_S:
            said = now
            left = (total - done) / speed
            sys.stderr.write(f"{what}: {done:.1f} of {total:.1f} {of}, {speed:.1f} {speed_of}, {left:.0f} s left\n")
            sys.stderr.flush()

    return advance


class _Pace:
    """Speed since the first report; a report of less than the one before begins anew."""

    def __init__(self) -> None:
        self._began, self._first, self._last = time.perf_counter(), 0.0, -1.0

    def speed(self, done: float) -> float:
        now = time.perf_counter()
        if done < self._last or self._last < 0:
            self._began, self._first = now, done
        self._last = done
        took = now - self._began
        return (done - self._first) / took if took > 0.2 else 0.0


def say(line: str) -> None:
    """Write one line for a person on standard error."""
    sys.stderr.write(f"bitspike: {' '.join(line.split())}\n")
    sys.stderr.flush()
