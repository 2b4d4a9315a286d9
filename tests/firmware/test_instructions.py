"""Decoders and call graph against others: the disassembler of LLVM, the stack that GCC states, and the stack as it is used."""

from __future__ import annotations

import re
import shutil
import subprocess

import numpy as np
import pytest

from firmware import build
from firmware.callgraph import CallGraph
from firmware.costs import CYCLES, cycles
from firmware.instructions import BRANCH, CALLS, CLASSES, DIVIDE, LOAD, LONG, MULTIPLY, PLAIN, STORE, decode
from firmware.machine import Counts, Machine
from pipeline.errors import BitspikeError

KINDS = {
    "cortex-m4": [
        (LOAD, r"ldr|ldm|pop"),
        (STORE, r"str|stm|push"),
        (LONG, r"smull|umull|smlal|umlal|umaal"),
        (DIVIDE, r"[su]div"),
        (MULTIPLY, r"mul|mla|mls|smul|smla|smmul|smmla|smuad|smlad|smusd|smlsd"),
        (BRANCH, r"b(l|x|lx)?(eq|ne|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?(\.[nw])?$|cbn?z|tb[bh]"),
    ],
    "rv32imc": [
        (LOAD, r"(c\.)?l[whb]u?(sp)?$"),
        (STORE, r"(c\.)?s[whb](sp)?$"),
        (LONG, "mulh"),
        (MULTIPLY, "mul"),
        (DIVIDE, "div|rem"),
        (BRANCH, r"(c\.)?(j|jal|jr|jalr|ret|b(eq|ne|lt|ge|gt|le)u?z?)$"),
    ],
}


def expected_kind(core, mnemonic, operands):
    if core == "cortex-m4" and mnemonic[:3] in ("mov", "add") and operands.startswith("pc"):
        return BRANCH
    return next((kind for kind, pattern in KINDS[core] if re.match(pattern, mnemonic)), PLAIN)


def images(core):
    yield build.image(core, 24)
    if any(map(shutil.which, build.CORES[core].gcc)):
        yield build.image(core, 24, "gcc", "-Os")


def disassembled(image, core):
    """Yield address, bytes, mnemonic and operands of all instructions, as LLVM sees them."""
    flags = {"cortex-m4": ["--triple=thumbv7em-none-eabi", "--mcpu=cortex-m4"], "rv32imc": ["--mattr=+m,+c"]}[core]
    text = subprocess.run(["llvm-objdump", "-d", *flags, str(image)], capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        found = re.match(r"\s*([0-9a-f]+):\s+((?:[0-9a-f]{2,8} )+)\s*\t(\S+)\s*(.*)", line)
        if found and not found[3].startswith((".", "<")):
            yield int(found[1], 16), len(found[2].replace(" ", "")) // 2, found[3], found[4]


@pytest.mark.skipif(shutil.which("llvm-objdump") is None, reason="no llvm-objdump on the path")
@pytest.mark.parametrize("core", build.CORES)
def test_every_instruction_is_what_llvm_says(core):
    from elftools.elf.elffile import ELFFile

    seen, targets = dict.fromkeys(CLASSES, 0), 0
    for image in images(core):
        with image.open("rb") as file:
            section = ELFFile(file).get_section_by_name(".text")
            base, code = section["sh_addr"], section.data()
        for address, size, mnemonic, operands in disassembled(image, core):
            one = next(decode(code[address - base : address - base + 4], address, core == "cortex-m4"))
            assert (one.size, one.kind) == (size, expected_kind(core, mnemonic, operands)), f"{mnemonic} {operands}"
            seen[one.kind] += 1
            goal = re.search(r"0x([0-9a-f]+)", operands)
            if one.target >= 0 and goal and (one.does != CALLS or mnemonic in ("bl", "jal")):
                assert one.target == int(goal[1], 16), f"{mnemonic} {operands}"
                targets += 1
    assert all(seen.values()), str(seen)
    assert targets > 1000


@pytest.mark.parametrize("core", build.CORES)
def test_frames_are_what_gcc_states(core, tmp_path):
    if not any(map(shutil.which, build.CORES[core].gcc)):
        pytest.skip(f"no {' or '.join(build.CORES[core].gcc)} on the path")
    command, _ = build.compiler(core, "gcc")
    graph = CallGraph(build.image(core, 24, "gcc"))
    stated = {}
    for source in build.sources():
        flags = [*build.ALONE, *build.COMMON, *build.macros(24), "-O2", f"-I{build.ROOT / 'include'}", "-fstack-usage"]
        build.run([*command, *flags, "-c", str(source), "-o", str(tmp_path / f"{source.stem}.o")])
        for line in (tmp_path / f"{source.stem}.su").read_text().splitlines():
            place, size, _ = line.split("\t")
            stated[place.split(":")[-1]] = int(size)
    compared = [name for name in graph.names() if name.startswith("bs_") and name in stated]
    assert len(compared) > 40
    for name in compared:
        assert graph.function(name).frame == stated[name], name


@pytest.mark.parametrize("core", build.CORES)
def test_stack_that_is_used_is_within_the_bound(core):
    """The stack is filled with a pattern before a stage runs."""
    from firmware.machine import STACK_BYTES, STACK_TOP
    from firmware.target import Target
    from pipeline.blocks import Samples
    from pipeline.checks import example_format, example_signal
    from pipeline.neural.bandpass import Bandpass, BandpassParameters
    from pipeline.neural.threshold import Threshold, ThresholdParameters

    graph, target, signal = CallGraph(build.image(core, 24)), Target(core, 24), example_format(16)
    for running in (Bandpass(BandpassParameters(), signal, engine=target), Threshold(ThresholdParameters(), signal, engine=target)):
        pattern = np.arange(STACK_BYTES, dtype=np.uint8)
        target.machine._core.mem_write(STACK_TOP - STACK_BYTES, pattern.tobytes())
        running.process(Samples(0, example_signal(3000, signal)))
        left = np.frombuffer(bytes(target.machine._core.mem_read(STACK_TOP - STACK_BYTES, STACK_BYTES)), np.uint8)
        used = STACK_BYTES - int(np.argmax(left != pattern))
        bound = graph.stack_bytes(f"bs_{running.name}_process")
        assert bound / 2 < used <= bound + 48  # arguments lie on the stack too


def test_divisions():
    assert next(decode(bytes.fromhex("91fbf2f0"), 0, True)).kind == DIVIDE  # sdiv r0, r1, r2
    assert next(decode(bytes.fromhex("b1fbf2f0"), 0, True)).kind == DIVIDE  # udiv r0, r1, r2
    assert next(decode(bytes.fromhex("33c5c502"), 0, False)).kind == DIVIDE  # div a0, a1, a2


def chain_of_calls(tmp_path, core, text):
    source = tmp_path / "unit.c"
    source.write_text(text)
    command, _ = build.compiler(core, "zig")
    script = build.ROOT / "image/emulated.ld"
    flags = [*build.ALONE, "-O1", "-fno-optimize-sibling-calls", f"-Wl,-T,{script}", "-Wl,-e,bs_a"]
    build.run([*command, *flags, str(source), "-o", str(tmp_path / "unit.elf")])
    return CallGraph(tmp_path / "unit.elf")


@pytest.mark.parametrize("core", build.CORES)
def test_recursion_and_pointers_are_refused(tmp_path, core):
    graph = chain_of_calls(
        tmp_path,
        core,
        """
        __attribute__((noinline)) int bs_b(volatile int *x);
        __attribute__((noinline)) int bs_c(volatile int *x) { volatile int room[20]; room[*x] = 1; return room[3] + *x; }
        __attribute__((noinline)) int bs_a(volatile int *x) { return *x > 3 ? bs_b(x) + 1 : bs_c(x) * 3; }
        __attribute__((noinline)) int bs_b(volatile int *x) { volatile int room[9]; room[*x] = --*x; return bs_a(x) + room[1]; }
        __attribute__((noinline)) int bs_d(int (*f)(int)) { return f(3) + 1; }
        __attribute__((noinline)) int bs_e(volatile int *x) { volatile int room[50]; room[*x] = 1; return bs_c(x) + room[2]; }
        """,
    )
    assert 80 <= graph.stack_bytes("bs_c") <= 128
    assert graph.stack_bytes("bs_e") == graph.function("bs_e").frame + graph.stack_bytes("bs_c")
    assert graph.function("bs_e").frame >= 200
    with pytest.raises(BitspikeError, match=r"stack: bs_a -> bs_b -> bs_a: a function that calls itself may need any amount"):
        graph.stack_bytes("bs_a")
    with pytest.raises(BitspikeError, match=r"stack: bs_d jumps at 0x[0-9a-f]+ to where a register says"):
        graph.stack_bytes("bs_d")
    with pytest.raises(BitspikeError, match="no function bs_x"):
        graph.code_bytes("bs_x")
    assert graph.code_bytes("bs_c") < graph.code_bytes("bs_e") < graph.code_bytes("bs_e", "bs_d")


def test_cycles_are_those_of_the_table():
    counts = Counts(by_kind={PLAIN: 10, LOAD: 4, STORE: 3, DIVIDE: 1, BRANCH: 5}, words=12, taken=2)
    table = CYCLES["cortex-m4"]
    assert cycles(counts, "cortex-m4") == 10 + 2 * 4 + 2 * 3 + 12 + 5 + (12 - 7) + 2 * table["branch taken, more"]


@pytest.mark.parametrize("core", build.CORES)
def test_counts_of_a_loop(tmp_path, core):
    """A loop of ten turns that stores, by hand: every class and every branch that is taken."""
    text = {
        "cortex-m4": "movs r2, #10\n1: str r1, [r0]\nmul r1, r1, r2\nsubs r2, #1\nbne 1b\nbx lr\n",
        "rv32imc": "li a2, 10\n1: sw a1, 0(a0)\nmul a1, a1, a2\naddi a2, a2, -1\nbnez a2, 1b\nret\n",
    }[core]
    source = tmp_path / "unit.c"
    body = text.replace("\n", "\\n")
    source.write_text(
        f'__attribute__((naked)) void bs_loop(int *x, int y);\nvoid bs_loop(int *x, int y) {{ __asm__("{body}"); }}\n'
    )
    command, _ = build.compiler(core, "zig")
    flags = [*build.ALONE, "-O1", "-Wno-unused-parameter", f"-Wl,-T,{build.ROOT / 'image/emulated.ld'}", "-Wl,-e,bs_loop"]
    build.run([*command, *flags, str(source), "-o", str(tmp_path / "unit.elf")])
    machine = Machine(core, tmp_path / "unit.elf")
    with machine.counting() as counts:
        machine.call("bs_loop", np.zeros(1, np.int32), 1)
    assert counts.by_kind == {PLAIN: 11, STORE: 10, MULTIPLY: 10, BRANCH: 11}
    assert counts.words == 10
    assert counts.taken == 9 + 1  # nine turns; and the way in, which stands for the way out
