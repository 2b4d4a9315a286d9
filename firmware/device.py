"""The application on an emulated device: flash, RAM, a processor that starts at its reset, and a converter that interrupts it.

Unicorn (under the GPL, an extra) runs the code. While the processor sleeps, a frame may come: then what a device's interrupt does
is done, by calling ``bs_application_take`` on the stack below the program's and returning to where it slept.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firmware.generate import Generated
from pipeline.errors import BitspikeError, MissingExtraError

PAGE = 4096
RETURN = 0x1000_0000  # where an interrupt returns to: emulation ends there
SCRATCH = 0x1001_0000  # where the converter's frame lies
SLEEP = {"cortex-m4": b"\x30\xbf", "rv32imc": b"\x73\x00\x50\x10"}  # wfi
MOST = 200_000_000  # instructions without sleep, after which the program has gone astray


@dataclass(frozen=True)
class Record:
    """One result of the application.

    Attributes
    ----------
    label : str
        Of the chain's output.
    frame : int
        Number of the block's first frame, in the output's own stream, modulo 2**32; of events the time that they reach up to.
    columns : dict
        "data" int16 [frames, channels] and "flags" uint8 [frames] of samples; "at", "channel", ... int32 [spikes] of spikes;
        "t", "x", "y", "p" of events; "records" int32 [particles, fields] and "tensors" uint8 [particles, bytes].
    """

    label: str
    frame: int
    columns: dict[str, np.ndarray]


class Device:
    """An emulated device that runs the application.

    Parameters
    ----------
    core : str
        ``"cortex-m4"`` or ``"rv32imc"``.
    image : pathlib.Path
        From `firmware.build.application`.
    generated : Generated
        The chain that is in it.
    """

    def __init__(self, core: str, image: Path, generated: Generated) -> None:
        try:
            import unicorn
            from elftools.elf.elffile import ELFFile
            from unicorn import arm_const as arm
            from unicorn import riscv_const as riscv
        except ImportError:
            raise MissingExtraError(f"emulating {core}", "firmware") from None
        self._unicorn, self._name, self.generated = unicorn, core, generated
        self._thumb = int(core == "cortex-m4")
        if self._thumb:
            self._core: Any = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
            self._core.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
            self._sp, self._pc, self._return, self._first, self._second = (
                arm.UC_ARM_REG_SP, arm.UC_ARM_REG_PC, arm.UC_ARM_REG_LR, arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1,
            )  # fmt: skip
        else:
            self._core = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32)
            self._sp, self._pc, self._return, self._first, self._second = (
                riscv.UC_RISCV_REG_SP, riscv.UC_RISCV_REG_PC, riscv.UC_RISCV_REG_RA, riscv.UC_RISCV_REG_A0, riscv.UC_RISCV_REG_A1,
            )  # fmt: skip
        with image.open("rb") as file:
            elf = ELFFile(file)
            table: Any = elf.get_section_by_name(".symtab")
            named = [s for s in table.iter_symbols() if s.name]
            self.symbols = {s.name: int(s["st_value"]) & ~self._thumb for s in named}
            self.sizes = {s.name: int(s["st_size"]) for s in named}
            for segment in elf.iter_segments("PT_LOAD"):
                if segment["p_filesz"]:
                    self._map(segment["p_paddr"], segment["p_filesz"], unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
                    self._core.mem_write(segment["p_paddr"], segment.data())
            entry = int(elf.header["e_entry"])
            sections = {s.name: (int(s["sh_addr"]), int(s["sh_size"])) for s in elf.iter_sections()}
        bottom, top = self.symbols["bs_data_begin"], self.symbols["bs_stack_top"]
        self._map(bottom, top - bottom, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
        self._map(RETURN, PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        self._map(SCRATCH, PAGE, unicorn.UC_PROT_READ)
        self.flash_bytes, self.ram_bytes = sections[".text"][1] + sections[".data"][1], top - bottom
        self._reset(sections[".text"][0], entry)

    def _map(self, begin: int, size: int, rights: int) -> None:
        base = begin // PAGE * PAGE
        self._core.mem_map(base, -(-(begin + size - base) // PAGE) * PAGE, rights)

    def _reset(self, vectors: int, entry: int) -> None:
        """Start as the processor does: a Cortex-M4 from its vector table, a RISC-V core at its entry."""
        pc = entry
        if self._thumb:
            sp, pc = struct.unpack("<II", self._core.mem_read(vectors, 8))
            self._core.reg_write(self._sp, sp)
        self._at = pc
        self.run()

    def run(self) -> None:
        """Run until the program sleeps.

        Raises
        ------
        BitspikeError
            It touched memory that is not there, or does not go to sleep.
        """
        try:
            self._core.emu_start(self._at | self._thumb, RETURN, count=MOST)
        except self._unicorn.UcError as error:
            raise BitspikeError(
                f"{self._name}: the application stopped at {self._core.reg_read(self._pc):#010x}: {error}"
            ) from None
        self._at = self._core.reg_read(self._pc) & ~1
        slept = bytes(self._core.mem_read(self._at - len(SLEEP[self._name]), len(SLEEP[self._name])))
        if slept != SLEEP[self._name]:
            raise BitspikeError(f"{self._name}: the application does not come to rest; it was at {self._at:#010x}")

    def interrupt(self, frame: np.ndarray) -> None:
        """Let the sensor interrupt the sleeping program with one frame, int16 [channels], or with bytes, uint8 [up to 4096]."""
        before = self._core.context_save()
        self._core.mem_write(SCRATCH, frame.astype(frame.dtype.newbyteorder("<")).tobytes())
        self._core.reg_write(self._second, frame.size)
        self._core.reg_write(self._sp, (self._core.reg_read(self._sp) - 64) & ~15)
        self._core.reg_write(self._first, SCRATCH)
        self._core.reg_write(self._return, RETURN | self._thumb)
        self._core.emu_start(self.symbols["bs_application_take"] | self._thumb, RETURN, count=MOST)
        self._core.context_restore(before)

    def records(self) -> list[Record]:
        """Take all results out of the ring."""
        base = self.symbols["bs_application_output"]
        added, taken, _ = self._words(base, 3)
        room = (self.sizes["bs_application_output"] - 12) // 4
        ring = np.frombuffer(bytes(self._core.mem_read(base + 12, 4 * room)), "<u4")
        words = ring[(int(taken) + np.arange((int(added) - int(taken)) & 0xFFFF_FFFF)) % room]
        self._core.mem_write(base + 4, struct.pack("<I", added))
        return split_records(words, self.generated)

    def status(self) -> int:
        """Return why the chain has stopped, or 0."""
        return int(struct.unpack("<i", self._core.mem_read(self.symbols["bs_application_status"], 4))[0])

    def lost(self) -> tuple[int, int]:
        """Return the frames, and the records, for which there was no room."""
        frames, records = (self._words(self.symbols[f"bs_application_{ring}"], 3)[2] for ring in ("input", "output"))
        return int(frames), int(records)

    def _words(self, address: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self._core.mem_read(address, 4 * count))


def parse_record(words: np.ndarray, generated: Generated) -> Record:
    """Return what the words of one record say, uint32 [n]; ``firmware/image/results.h`` has the format."""
    call = generated.kept_calls()[int(words[0]) >> 16]
    output, count, data, at = call.output, int(words[2]), words.tobytes(), 12
    columns = {}
    for name, (kind, each) in generated.columns(output).items():
        if name in output.parts:
            column = np.frombuffer(data, kind, count * each, at)
            columns[name] = column.reshape(count, each) if each != 1 or name == "data" else column
            at += -(-column.nbytes // 4) * 4
    return Record(call.step.label, int(words[1]), columns)


def split_records(words: np.ndarray, generated: Generated) -> list[Record]:
    """Return the records in a row of words."""
    found = []
    while len(words):
        length = 1 + int(words[0] & 0xFFFF)
        found.append(parse_record(words[:length], generated))
        words = words[length:]
    return found
