"""An emulated processor core that calls C functions on NumPy arrays, guards its memory and counts instructions.

Unicorn (the emulator, under the GPL, an extra that only this file imports) runs the code in this process. Every array argument has
a window of addresses of its own, backed by memory that NumPy sees too, and ends where the window's memory ends: one byte past an
array is a fault, and so is a write to constants, to code, or below the stack.
"""

from __future__ import annotations

import bisect
import mmap
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from firmware.instructions import LOAD, STORE, decode
from firmware.twins import require_contiguous
from pipeline.errors import BitspikeError, MissingExtraError

PAGE = 4096
STOP = 0x1000  # the return address of a call: emulation ends there
STACK_TOP, STACK_BYTES = 0x2001_0000, 16 * 1024
WINDOWS, WINDOW_BYTES, MOST_WINDOWS = 0x4000_0000, 1 << 25, 48
SECONDS = 600  # of emulation that a call may take


class TargetFault(BitspikeError):
    """The code on an emulated core touched memory that is not its own, or did not come back."""


@dataclass
class Counts:
    """Instructions executed, exact; those that an IT block skips count too, for they take their cycle.

    Attributes
    ----------
    by_function : dict of str to int
        By the C function whose body they stand in; an inlined function counts for its caller.
    by_kind : dict of str to int
        By their class; see `instructions`.
    words : int
        Words that loads and stores moved.
    taken : int
        Branches that were taken, loads into the program counter included.
    """

    by_function: dict[str, int] = field(default_factory=dict)
    by_kind: dict[str, int] = field(default_factory=dict)
    words: int = 0
    taken: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.by_function.values())


class _Function(NamedTuple):
    start: int
    size: int
    name: str


class _Window:
    """A stretch of addresses for one argument; its memory grows to what was needed so far."""

    def __init__(self, core: Any, base: int, protection: int) -> None:
        self._core, self.base, self._protection = core, base, protection
        self.memory = np.empty(0, np.uint8)

    def place(self, array: np.ndarray) -> int:
        """Copy an array to the end of the window's memory; return its address."""
        if array.nbytes > len(self.memory):
            self._grow(array.nbytes)
        at = len(self.memory) - array.nbytes
        self.memory[at:] = array.reshape(-1).view(np.uint8)
        return self.base + at

    def fetch(self, array: np.ndarray) -> None:
        """Copy the memory back into the array that was placed."""
        array.reshape(-1).view(np.uint8)[:] = self.memory[len(self.memory) - array.nbytes :]

    def _grow(self, needed: int) -> None:
        if needed > WINDOW_BYTES - PAGE:
            raise BitspikeError(f"an array of {needed} bytes is too long for an emulated core; use shorter blocks")
        pages = -(-max(needed, 2 * len(self.memory)) // PAGE)
        size = min(pages * PAGE, WINDOW_BYTES - PAGE)
        if len(self.memory):
            self._core.mem_unmap(self.base, len(self.memory))
        self.memory = np.frombuffer(mmap.mmap(-1, size), np.uint8)
        self._core.mem_map_ptr(self.base, size, self._protection, self.memory.ctypes.data)


class Machine:
    """A core with an image of the library in its memory.

    Parameters
    ----------
    core : str
        ``"cortex-m4"`` or ``"rv32imc"``.
    image : pathlib.Path
        ELF file from `firmware.build.image`.
    """

    def __init__(self, core: str, image: Path) -> None:
        try:
            import unicorn
            from unicorn import arm_const as arm
            from unicorn import riscv_const as riscv
        except ImportError:
            raise MissingExtraError(f"emulating {core}", "firmware") from None
        self._unicorn, self._name = unicorn, core
        self._core: Any
        self._thumb = int(core == "cortex-m4")
        if self._thumb:
            self._core = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
            self._core.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
            self._arguments = [arm.UC_ARM_REG_R0 + i for i in range(4)]
            self._sp, self._return, self._pc = arm.UC_ARM_REG_SP, arm.UC_ARM_REG_LR, arm.UC_ARM_REG_PC
        else:
            self._core = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
            self._arguments = [riscv.UC_RISCV_REG_A0 + i for i in range(8)]
            self._sp, self._return, self._pc = riscv.UC_RISCV_REG_SP, riscv.UC_RISCV_REG_RA, riscv.UC_RISCV_REG_PC
        self._load(image)
        self._core.mem_map(STOP, PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        self._core.mem_map(STACK_TOP - STACK_BYTES, STACK_BYTES, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        self._windows: dict[tuple[int, bool], _Window] = {}
        self._fault: tuple[int, int, int] | None = None
        self._core.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._note_fault)

    def __contains__(self, function: str) -> bool:
        return function in self._addresses

    def call(self, function: str, *arguments: np.ndarray | int) -> int:
        """Call a C function; arrays go by address and are copied back (those that NumPy may not write: not), integers as uint32.

        Returns
        -------
        int
            What the function returned, as int32.

        Raises
        ------
        TargetFault
            It touched memory that is not its own; the message says where in the code, and past which argument.
        """
        words, written, arrays = [], [], 0
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                require_contiguous(argument)
                window = self._window(arrays, argument.flags.writeable)
                words.append(window.place(argument))
                arrays += 1
                if argument.flags.writeable:
                    written.append((window, argument))
            else:
                words.append(int(argument) & 0xFFFF_FFFF)
        beyond = words[len(self._arguments) :]
        stack = STACK_TOP - (4 * len(beyond) + 15) // 16 * 16
        for register, word in zip(self._arguments, words, strict=False):
            self._core.reg_write(register, word)
        self._core.mem_write(stack, np.array(beyond, "<u4").tobytes())
        self._core.reg_write(self._sp, stack)
        self._core.reg_write(self._return, STOP | self._thumb)
        self._run(function, arguments)
        for window, argument in written:
            window.fetch(argument)
        returned = int(self._core.reg_read(self._arguments[0]))
        return ((returned & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000

    def _window(self, array: int, writeable: bool) -> _Window:
        """Return the window for the call's array of that number."""
        if (array, writeable) not in self._windows:
            taken, u = len(self._windows), self._unicorn
            if taken == MOST_WINDOWS:
                raise BitspikeError(f"a call of more than {MOST_WINDOWS // 2} arrays is too much for an emulated core")
            rights = u.UC_PROT_READ | (u.UC_PROT_WRITE if writeable else 0)
            self._windows[array, writeable] = _Window(self._core, WINDOWS + taken * WINDOW_BYTES, rights)
        return self._windows[array, writeable]

    @contextmanager
    def counting(self) -> Iterator[Counts]:
        """Count the instructions of the calls made inside ``with``; the counts are there when it ends."""
        counts, blocks = Counts(), Counter[tuple[int, int]]()

        after = STOP

        def tick(_core: Any, address: int, size: int, _data: Any) -> None:
            nonlocal after
            blocks[address, size] += 1
            counts.taken += address != after
            after = address + size

        self._core.ctl_flush_tb()  # what was translated earlier carries no hook
        hook = self._core.hook_add(self._unicorn.UC_HOOK_BLOCK, tick)
        try:
            yield counts
        finally:
            self._core.hook_del(hook)
            self._core.ctl_flush_tb()
        for (address, size), times in blocks.items():
            code = list(decode(bytes(self._core.mem_read(address, size)), address, bool(self._thumb)))
            name = self._function_at(address)
            counts.by_function[name] = counts.by_function.get(name, 0) + times * len(code)
            for one in code:
                counts.by_kind[one.kind] = counts.by_kind.get(one.kind, 0) + times
                counts.words += times * one.words * (one.kind in (LOAD, STORE))

    def _load(self, image: Path) -> None:
        try:
            from elftools.elf.elffile import ELFFile
        except ImportError:
            raise MissingExtraError(f"emulating {self._name}", "firmware") from None
        with image.open("rb") as file:
            elf = ELFFile(file)
            table: Any = elf.get_section_by_name(".symtab")
            symbols = [s for s in table.iter_symbols() if s["st_info"]["type"] == "STT_FUNC"]
            for segment in elf.iter_segments("PT_LOAD"):
                start, end = segment["p_vaddr"], segment["p_vaddr"] + segment["p_memsz"]
                writable = segment["p_flags"] & 2
                rights = self._unicorn.UC_PROT_WRITE if writable else self._unicorn.UC_PROT_EXEC
                base = start // PAGE * PAGE
                self._core.mem_map(base, -(-(end - base) // PAGE) * PAGE, self._unicorn.UC_PROT_READ | rights)
                self._core.mem_write(start, segment.data())
        self._functions = sorted({_Function(s["st_value"] & ~self._thumb, s["st_size"], s.name) for s in symbols})
        self._addresses = {f.name: f.start for f in self._functions}

    def _run(self, function: str, arguments: Sequence[Any]) -> None:
        self._fault = None
        try:
            self._core.emu_start(self._addresses[function] | self._thumb, STOP, timeout=SECONDS * 1_000_000)
        except self._unicorn.UcError as error:
            at = self._place(self._core.reg_read(self._pc))
            raise TargetFault(f"{self._name}: {function}: {self._describe(arguments) or error} at {at}") from None
        if self._core.reg_read(self._pc) & ~1 != STOP:
            at = self._place(self._core.reg_read(self._pc))
            raise TargetFault(f"{self._name}: {function}: did not return within {SECONDS} s; it was at {at}")

    def _note_fault(self, _core: Any, access: int, address: int, size: int, _value: int, _data: Any) -> bool:
        self._fault = (access, address, size)
        return False

    def _describe(self, arguments: Sequence[Any]) -> str:
        """Say what the faulty access was, in terms of the call's arguments."""
        if self._fault is None:
            return ""
        access, address, size = self._fault
        u = self._unicorn
        writes = access in (u.UC_MEM_WRITE_UNMAPPED, u.UC_MEM_WRITE_PROT)
        fetches = access in (u.UC_MEM_FETCH_UNMAPPED, u.UC_MEM_FETCH_PROT)
        verb = "jumped to" if fetches else f"{'wrote' if writes else 'read'} {size} bytes at"
        text = f"{verb} address {address:#010x}"
        places = [i for i, argument in enumerate(arguments, 1) if isinstance(argument, np.ndarray)]
        for (array, _), window in self._windows.items():
            offset = address - window.base
            if 0 <= offset < WINDOW_BYTES and array < len(places):
                beyond = offset - len(window.memory)
                where = f"{beyond} bytes past the end of" if beyond >= 0 else "in constant"
                return f"{text}, {where} argument {places[array]}"
        if STACK_TOP - STACK_BYTES - PAGE * 256 <= address < STACK_TOP - STACK_BYTES:
            return f"{text}, below the stack of {STACK_BYTES} bytes"
        return f"{text}, which is not its own"

    def _place(self, address: int) -> str:
        name = self._function_at(address)
        return f"{name}+{address - self._addresses[name]:#x}" if name in self._addresses else f"{address:#010x}"

    def _function_at(self, address: int) -> str:
        i = bisect.bisect(self._functions, address, key=lambda f: f.start) - 1
        found = self._functions[i] if i >= 0 else None
        return found.name if found and address < found.start + max(found.size, 1) else "elsewhere"
