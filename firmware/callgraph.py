"""Which function calls which, in an ELF image, and so how much stack and code a function needs at most, with all that it calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firmware.instructions import CALLS, JUMPS, UNKNOWN, decode
from pipeline.errors import BitspikeError, MissingExtraError


@dataclass
class Function:
    """One function of the image.

    Attributes
    ----------
    name : str
        As in the C.
    start, size : int
        In bytes.
    frame : int
        Bytes of stack that it takes for itself, at most.
    calls : set of int
        Where the functions begin that it calls, or ends in.
    unknown : int
        An instruction that goes where a register says; -1 where there is none.
    """

    name: str
    start: int
    size: int
    frame: int = 0
    calls: set[int] = field(default_factory=set)
    unknown: int = -1


class CallGraph:
    """The functions of an image and their calls.

    Parameters
    ----------
    image : pathlib.Path
        ELF file, with symbols, for a Cortex-M4 or RV32IMC.
    """

    def __init__(self, image: Path) -> None:
        try:
            from elftools.elf.elffile import ELFFile
        except ImportError:
            raise MissingExtraError("reading an ELF image", "firmware") from None
        with image.open("rb") as file:
            elf = ELFFile(file)
            thumb = elf.get_machine_arch() == "ARM"
            table: Any = elf.get_section_by_name(".symtab")
            symbols = [(s.name, int(s["st_value"]), int(s["st_size"]), s["st_info"]["type"]) for s in table.iter_symbols()]
            inside = elf.get_section_index(".text")
            marks = [(int(s["st_value"]), s.name[:2]) for s in table.iter_symbols() if s["st_shndx"] == inside]
            text: Any = elf.get_section_by_name(".text")
            self._base, self._code = int(text["sh_addr"]), bytes(text.data())
        # what is data amid the code, such as constants too long for an instruction, is marked by symbols
        # of two at one place the first ends there
        self._marks = [
            (at, mark == "$d") for at, mark in sorted(marks, key=lambda m: (m[0], m[1] != "$d")) if mark in ("$d", "$t", "$x")
        ]
        self._at: dict[int, Function] = {}
        self._named: dict[str, Function] = {}
        for name, value, size, kind in symbols:
            if kind == "STT_FUNC" and size:
                start = value & ~int(thumb)
                self._named[name] = self._at.setdefault(start, Function(name, start, size))  # those of one file may share a name
        for function in self._at.values():
            self._look(function, thumb)

    def _look(self, function: Function, thumb: bool) -> None:
        """Read a function's code."""
        end = function.start + function.size
        for begin, stop in self._stretches(function.start, end):
            for one in decode(self._code[begin - self._base : stop - self._base], begin, thumb):
                function.frame += one.push
                outside = one.target >= 0 and not function.start <= one.target < end
                leaves = one.does == CALLS or (one.does == JUMPS and outside)
                if one.does == UNKNOWN or (leaves and one.target not in self._at):
                    function.unknown = one.address
                elif leaves:
                    function.calls.add(one.target)

    def _stretches(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Return the stretches of an extent that are code."""
        marks = [mark for mark in self._marks if begin < mark[0] < end]
        before = [mark for mark in self._marks if mark[0] <= begin]
        data, at, found = bool(before) and before[-1][1], begin, []
        for place, becomes in [*marks, (end, True)]:
            if not data and place > at:
                found.append((at, place))
            data, at = becomes, place
        return found

    def function(self, name: str) -> Function:
        """Return a function by its name, which no other may have."""
        if name not in self._named:
            raise BitspikeError(f"the image has no function {name}")
        return self._named[name]

    def names(self) -> list[str]:
        """Return the names of all functions."""
        return sorted(self._named)

    def code_bytes(self, *names: str) -> int:
        """Return the bytes of some functions with all that they call."""
        found: set[int] = set()
        todo = [self.function(name).start for name in names]
        while todo:
            start = todo.pop()
            if start not in found:
                found.add(start)
                todo += self._at[start].calls
        return sum(self._at[start].size for start in found)

    def stack_bytes(self, name: str) -> int:
        """Return the stack that a function needs at most, with all that it calls.

        Raises
        ------
        BitspikeError
            That cannot be told: a function calls itself, if by others, or one whose address is in a register.
        """
        return self._depth(self.function(name), ())

    def _depth(self, function: Function, callers: tuple[Function, ...]) -> int:
        if function in callers:
            circle = " -> ".join(one.name for one in [*callers[callers.index(function) :], function])
            raise BitspikeError(f"stack: {circle}: a function that calls itself may need any amount; the firmware must not")
        if function.unknown >= 0:
            where = f"{function.name} jumps at {function.unknown:#x} to where a register says"
            raise BitspikeError(f"stack: {where}, so nobody knows how much that needs")
        inner = (self._depth(self._at[start], (*callers, function)) for start in sorted(function.calls))
        return function.frame + max(inner, default=0)
