"""What instructions do, as far as their cost is concerned: their class, where they jump to, and how they move the stack.

Decoders for the two cores' machine code: ARMv7-M (Thumb-2, ARM DDI 0403, chapter A5) and RV32IMC (the RISC-V instruction set
manual, volume I, chapters 34 and 26). Only what a C compiler gives for integer code is told apart; all else is "plain".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

PLAIN, LOAD, STORE, MULTIPLY, LONG, DIVIDE, BRANCH = "plain", "load", "store", "multiply", "long multiply", "divide", "branch"
CLASSES = (PLAIN, LOAD, STORE, MULTIPLY, LONG, DIVIDE, BRANCH)
RETURNS, JUMPS, CALLS, UNKNOWN = "returns", "jumps", "calls", "unknown"  # what a branch does


class Instruction(NamedTuple):
    """One instruction.

    Attributes
    ----------
    address, size : int
        In bytes.
    kind : str
        One of `CLASSES`.
    words : int
        That a load or store moves.
    does : str
        Of a branch: it returns, jumps (within the function, or as its last act to another), calls, or goes where a register says.
    target : int
        Of a branch, where that is in the instruction; else -1.
    push : int
        Bytes by which it lowers the stack pointer.
    """

    address: int
    size: int
    kind: str = PLAIN
    words: int = 1
    does: str = ""
    target: int = -1
    push: int = 0


def decode(code: bytes, address: int, thumb: bool) -> Iterator[Instruction]:
    """Yield the instructions in a straight stretch of code that begins at an address."""
    words = [int.from_bytes(code[i : i + 2], "little") for i in range(0, len(code) - 1, 2)]
    at = 0
    upper: dict[int, int] = {}
    while at < len(words):
        first, here = words[at], address + 2 * at
        second = words[at + 1] if at + 1 < len(words) else 0
        if thumb:
            wide = first >> 11 in (0b11101, 0b11110, 0b11111)
            yield _thumb_wide(first, second, here) if wide else _thumb(first, here)
        else:
            wide = first & 3 == 3
            yield _risc_wide(first | second << 16, here, upper) if wide else _risc(first, here)
        at += 1 + wide


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def _thumb(word: int, at: int) -> Instruction:
    """Decode 16 bits of Thumb code."""
    top = word >> 12
    if word >> 10 == 0b010000:
        return Instruction(at, 2, MULTIPLY if word >> 6 & 15 == 13 else PLAIN)
    if word >> 10 == 0b010001:
        if word >> 8 & 3 == 3:
            register = word >> 3 & 15
            returns = not word & 0x80 and register == 14
            return Instruction(at, 2, BRANCH, does=RETURNS if returns else UNKNOWN)
        into_pc = word >> 8 & 3 != 1 and (word & 7 | word >> 4 & 8) == 15
        return Instruction(at, 2, BRANCH, does=UNKNOWN) if into_pc else Instruction(at, 2)
    if word >> 11 == 0b01001:
        return Instruction(at, 2, LOAD)
    if top == 0b0101:
        return Instruction(at, 2, STORE if word >> 9 & 7 < 3 else LOAD)
    if top in (0b0110, 0b0111, 0b1000, 0b1001):
        return Instruction(at, 2, LOAD if word >> 11 & 1 else STORE)
    if top == 0b1011:
        if word & 0xF500 == 0xB100:  # CBZ, CBNZ
            return Instruction(at, 2, BRANCH, 1, JUMPS, at + 4 + 2 * (word >> 3 & 31 | word >> 4 & 32))
        if word & 0xFE00 == 0xB400:
            count = (word & 0x1FF).bit_count()
            return Instruction(at, 2, STORE, count, push=4 * count)
        if word & 0xFE00 == 0xBC00:
            count, returns = (word & 0x1FF).bit_count(), word >> 8 & 1 == 1
            return Instruction(at, 2, LOAD, count, RETURNS if returns else "")
        return Instruction(at, 2, push=4 * (word & 127) if word & 0xFF80 == 0xB080 else 0)
    if top == 0b1100:
        return Instruction(at, 2, LOAD if word >> 11 & 1 else STORE, (word & 255).bit_count())
    if top == 0b1101 and word >> 8 & 15 < 14:
        return Instruction(at, 2, BRANCH, 1, JUMPS, at + 4 + 2 * _signed(word & 255, 8))
    if word >> 11 == 0b11100:
        return Instruction(at, 2, BRANCH, 1, JUMPS, at + 4 + 2 * _signed(word & 2047, 11))
    return Instruction(at, 2)


def _thumb_wide(word: int, second: int, at: int) -> Instruction:
    """Decode 32 bits of Thumb code."""
    group, stack = word >> 11 & 3, word & 15 == 13
    if group == 1 and word & 0xFE40 == 0xE800:  # LDM, STM
        loads, count = word >> 4 & 1 == 1, second.bit_count()
        push = 4 * count if stack and not loads and word >> 5 & 1 else 0
        return Instruction(at, 4, LOAD if loads else STORE, count, RETURNS if loads and second >> 15 else "", push=push)
    if group == 1 and word & 0xFE40 == 0xE840:  # LDRD, STRD, exclusive ones, table branches
        if word & 0xFFF0 == 0xE8D0 and second & 0xFFE0 == 0xF000:
            return Instruction(at, 4, BRANCH, 1, JUMPS)
        double = word & 0x0120 != 0
        push = 4 * (second & 255) if stack and word & 0x01B0 == 0x0120 else 0  # before it, downwards, kept
        return Instruction(at, 4, LOAD if word >> 4 & 1 else STORE, 2 if double else 1, push=push)
    if group == 2 and second >> 15:
        return _thumb_branch(word, second, at)
    if group == 2:
        if word & 0xFBEF == 0xF1AD and second & 0x0F00 == 0x0D00:
            return Instruction(at, 4, push=_expanded(word >> 10 & 1, second))
        if word & 0xFBFF == 0xF2AD and second & 0x0F00 == 0x0D00:
            return Instruction(at, 4, push=(word >> 10 & 1) << 11 | (second >> 12 & 7) << 8 | second & 255)
        return Instruction(at, 4)
    if group == 3 and word & 0xFE00 == 0xF800:
        if not word >> 4 & 1:
            return Instruction(at, 4, STORE, push=second & 255 if word == 0xF84D and second & 0x0F00 == 0x0D00 else 0)
        into_pc = second >> 12 == 15 and word & 0xFF70 == 0xF850
        return Instruction(at, 4, LOAD, 1, (RETURNS if stack else UNKNOWN) if into_pc else "")
    if group == 3 and word & 0xFF80 == 0xFB00:
        return Instruction(at, 4, MULTIPLY)
    if group == 3 and word & 0xFF80 == 0xFB80:
        return Instruction(at, 4, DIVIDE if word >> 4 & 7 in (1, 3) else LONG)
    return Instruction(at, 4)


def _thumb_branch(word: int, second: int, at: int) -> Instruction:
    """Decode BL, B.W and conditional B.W; hints and system instructions are plain."""
    sign, low = word >> 10 & 1, second & 2047
    j1, j2 = second >> 13 & 1, second >> 11 & 1
    if second & 0xD000 in (0xD000, 0x9000):
        high = sign << 23 | (1 ^ j1 ^ sign) << 22 | (1 ^ j2 ^ sign) << 21 | (word & 1023) << 11
        target = at + 4 + 2 * _signed(high | low, 24)
        return Instruction(at, 4, BRANCH, 1, CALLS if second & 0x4000 else JUMPS, target)
    if second & 0xD000 == 0x8000 and word >> 7 & 7 != 7:
        offset = sign << 19 | j2 << 18 | j1 << 17 | (word & 63) << 11 | low
        return Instruction(at, 4, BRANCH, 1, JUMPS, at + 4 + 2 * _signed(offset, 20))
    return Instruction(at, 4)


def _expanded(i: int, second: int) -> int:
    """Return the constant that 12 bits stand for (ThumbExpandImm)."""
    value, low = i << 11 | (second >> 12 & 7) << 8 | second & 255, second & 255
    if value >> 10 == 0:
        return (low, low << 16 | low, low << 24 | low << 8, low * 0x01010101)[value >> 8 & 3]
    turn, mantissa = value >> 7, 0x80 | value & 127
    return mantissa >> turn | mantissa << (32 - turn) & 0xFFFF_FFFF


def _scattered(word: int, bits: tuple[tuple[int, int], ...]) -> int:
    """Return the number whose bits are in other places in an instruction: (bit of the word, bit of the number), its sign first."""
    return _signed(sum((word >> source & 1) << place for source, place in bits), bits[0][1] + 1)


def _risc(word: int, at: int) -> Instruction:
    """Decode 16 bits of RV32IMC code."""
    quadrant, function = word & 3, word >> 13
    if quadrant == 0:
        return Instruction(at, 2, {2: LOAD, 6: STORE}.get(function, PLAIN))
    register = word >> 7 & 31
    if quadrant == 1:
        if function in (1, 5):
            offset = _scattered(word, ((12, 11), (11, 4), (10, 9), (9, 8), (8, 10), (7, 6), (6, 7), (5, 3), (4, 2), (3, 1), (2, 5)))
            return Instruction(at, 2, BRANCH, 1, CALLS if function == 1 else JUMPS, at + offset)
        if function in (6, 7):
            offset = _scattered(word, ((12, 8), (11, 4), (10, 3), (6, 7), (5, 6), (4, 2), (3, 1), (2, 5)))
            return Instruction(at, 2, BRANCH, 1, JUMPS, at + offset)
        if function == 3 and register == 2:  # C.ADDI16SP
            return Instruction(at, 2, push=max(0, -_scattered(word, ((12, 9), (6, 4), (5, 6), (4, 8), (3, 7), (2, 5)))))
        if function == 0 and register == 2:
            return Instruction(at, 2, push=max(0, -_signed(word >> 7 & 32 | word >> 2 & 31, 6)))
        return Instruction(at, 2)
    if function == 4 and word >> 2 & 31 == 0 and register:
        returns = register == 1 and not word >> 12 & 1
        return Instruction(at, 2, BRANCH, 1, RETURNS if returns else UNKNOWN)
    return Instruction(at, 2, {2: LOAD, 6: STORE}.get(function, PLAIN))


def _risc_wide(word: int, at: int, upper: dict[int, int]) -> Instruction:
    """Decode 32 bits of RV32IMC code; `upper` holds what AUIPC has put into registers."""
    code, rd, function, rs1 = word & 127, word >> 7 & 31, word >> 12 & 7, word >> 15 & 31
    immediate = _signed(word >> 20, 12)
    if code == 0x17:
        upper[rd] = at + _signed(word >> 12, 20) * 4096
        return Instruction(at, 4)
    if code == 0x6F:
        bits = word >> 31 << 20 | (word >> 12 & 255) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 1023) << 1
        return Instruction(at, 4, BRANCH, 1, CALLS if rd else JUMPS, at + _signed(bits, 21))
    if code == 0x67:
        if rs1 in upper and (rs1 != 1 or rd == 1):
            return Instruction(at, 4, BRANCH, 1, CALLS if rd else JUMPS, upper.pop(rs1) + immediate)
        return Instruction(at, 4, BRANCH, 1, RETURNS if rd == 0 and rs1 == 1 else UNKNOWN)
    if code == 0x63:
        bits = word >> 31 << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 63) << 5 | (word >> 8 & 15) << 1
        return Instruction(at, 4, BRANCH, 1, JUMPS, at + _signed(bits, 13))
    if code in (0x03, 0x23):
        return Instruction(at, 4, LOAD if code == 0x03 else STORE)
    if code == 0x33 and word >> 25 == 1:
        return Instruction(at, 4, DIVIDE if function > 3 else LONG if function else MULTIPLY)
    moves = code == 0x13 and function == 0 and rd == rs1 == 2
    return Instruction(at, 4, push=max(0, -immediate) if moves else 0)
