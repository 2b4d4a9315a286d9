"""``python -m benchmarks [PART ...] [--quick] [--json FILE]``: measure, print, and write the figures.

All parts together write ``docs/benchmarks.md``; single parts, and a quick look, only print. ``--again`` puts what single parts
measure in the place of what the last whole run on this machine found, and says so in the document.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.material import FOLDER, ROOT
from benchmarks.results import Part, about, markdown, read_json, total_s, verdicts, write_json
from benchmarks.timing import pin

PARTS = ("start", "speed", "chain", "decoding", "filtering", "particles", "passages", "memory", "sorting")
DOCUMENT = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    """Run the benchmarks; return 1 if a requirement was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed, accuracy, memory and start-up of bitspike.")
    parser.add_argument("part", nargs="*", metavar="PART", help=f"what to measure, of {', '.join(PARTS)}; all unless told")
    parser.add_argument("--quick", action="store_true", help="a short look: fewer rounds, shorter recordings, one seed")
    parser.add_argument("--json", type=Path, default=FOLDER.with_suffix(".json"), metavar="FILE", help="where the figures go")
    parser.add_argument("--again", action="store_true", help="the other figures are those of the last whole run")
    given = parser.parse_args()
    unknown = set(given.part) - {*PARTS, "all"}
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    chosen = PARTS if not given.part or "all" in given.part else tuple(name for name in PARTS if name in given.part)
    facts = about("python -m benchmarks" + "".join(f" {name}" for name in given.part if name != "all") + " --quick" * given.quick)
    pin()
    parts: dict[str, Part] = {}
    if given.again:
        facts, parts = kept(given.json, facts, [] if given.quick else chosen)
    facts["whole"] = chosen == PARTS and not given.quick
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        began = time.perf_counter()
        parts[name] = importlib.import_module(f"benchmarks.{name}").measure(given.quick)
        parts[name].seconds = time.perf_counter() - began
        print(parts[name].markdown(), flush=True)
        write_json(given.json, facts, parts)
    if set(parts) == set(PARTS) and not given.quick:
        DOCUMENT.write_text(markdown(facts, parts), encoding="utf-8")
    requirements = verdicts(facts, parts)
    print("\n".join(str(one) for one in requirements))
    print(f"{total_s(parts):.0f} s; figures in {given.json}", file=sys.stderr)
    return 0 if all(one.reached for one in requirements) else 1


def kept(path: Path, facts: dict[str, Any], chosen: Sequence[str]) -> tuple[dict[str, Any], dict[str, Part]]:
    """Return the figures of the last whole run, of which some parts are measured again."""
    before, parts = read_json(path)
    if set(parts) != set(PARTS) or not chosen or any(before[name] != facts[name] for name in ("machine", "versions")):
        raise SystemExit(f"{path}: not of a whole run with these versions on this machine; run python -m benchmarks")
    return {**before, "again": sorted({*before.get("again", []), *chosen})}, parts


if __name__ == "__main__":
    sys.exit(main())
