"""``python -m benchmarks [PART ...] [--quick] [--json FILE]``: measure, print, and write the figures.

All parts together write ``docs/benchmarks.md``; single parts, and a quick look, only print.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from benchmarks.material import FOLDER, ROOT
from benchmarks.results import Part, about, markdown, write_json
from benchmarks.timing import pin

PARTS = ("start", "speed", "chain", "decoding", "filtering", "particles", "passages", "memory", "sorting")
DOCUMENT = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    """Run the benchmarks; return 1 if a requirement was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed, accuracy, memory and start-up of bitspike.")
    parser.add_argument("part", nargs="*", metavar="PART", help=f"what to measure, of {', '.join(PARTS)}; all unless told")
    parser.add_argument("--quick", action="store_true", help="a short look: fewer rounds, shorter recordings, one seed")
    parser.add_argument("--json", type=Path, default=FOLDER.with_suffix(".json"), metavar="FILE", help="where the figures go")
    given = parser.parse_args()
    unknown = set(given.part) - {*PARTS, "all"}
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    chosen = PARTS if not given.part or "all" in given.part else tuple(name for name in PARTS if name in given.part)
    facts = about("python -m benchmarks" + "".join(f" {name}" for name in given.part if name != "all") + " --quick" * given.quick)
    pin()
    parts: dict[str, Part] = {}
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        began = time.perf_counter()
        parts[name] = importlib.import_module(f"benchmarks.{name}").measure(given.quick)
        parts[name].seconds = time.perf_counter() - began
        print(parts[name].markdown(), flush=True)
        write_json(given.json, facts, parts)
    if set(chosen) == set(PARTS) and not given.quick:
        DOCUMENT.write_text(markdown(facts, parts), encoding="utf-8")
    requirements = [one for part in parts.values() for one in part.requirements]
    print("\n".join(str(one) for one in requirements))
    print(f"{sum(part.seconds for part in parts.values()):.0f} s; figures in {given.json}", file=sys.stderr)
    return 0 if all(one.reached for one in requirements) else 1


if __name__ == "__main__":
    sys.exit(main())
