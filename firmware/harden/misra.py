"""What cppcheck says against what ``MISRA.md`` explains."""

from __future__ import annotations

import re
from pathlib import Path

LINE = re.compile(r"^(?P<path>[^:\n]+):(?P<line>\d+): (?P<rule>[\w.-]+): ", re.M)
ROW = re.compile(r"^\| (?P<rule>[\w.-]+) \| (?P<where>[^|]+) \|", re.M)
EVERYWHERE = "everywhere"


def explained(text: str) -> dict[str, set[str]]:
    """Return the files of each rule that has a row in the list of deviations: by name, or everywhere."""
    return {row["rule"]: set(re.findall(r"[\w.]+", row["where"])) for row in ROW.finditer(text) if row["rule"] != "Rule"}


def unexplained(complaints: str, deviations: str) -> tuple[list[str], int]:
    """Return the complaints that no row explains and the rows that explain nothing, and how many rules are deviated from.

    Parameters
    ----------
    complaints : str
        Cppcheck's, as ``file:line: id: message``; MISRA rules as ``misra-c2012-10.4``.
    deviations : str
        ``MISRA.md``: a table with the columns rule (``10.4``, or an id of cppcheck's own), where, why.
    """
    rows, used, lines = explained(deviations), set(), []
    for complaint in LINE.finditer(complaints):
        rule, file = complaint["rule"].removeprefix("misra-c2012-"), Path(complaint["path"]).name
        where = rows.get(rule, set())
        for named in (EVERYWHERE, file):
            if named in where:
                used.add((rule, named))
                break
        else:
            lines.append(f"{complaint['path']}:{complaint['line']}: {rule}: not explained in MISRA.md")
    stale = [(rule, named) for rule, where in rows.items() for named in sorted(where) if (rule, named) not in used]
    return list(dict.fromkeys(lines)) + [
        f"MISRA.md: {rule}, {named}: there is no such deviation any more" for rule, named in stale
    ], len(rows)
