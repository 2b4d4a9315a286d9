"""The emulated cores: exact counts, faults that say where, clear refusals."""

from __future__ import annotations

import pickle
import re
import sys

import numpy as np
import pytest

from firmware import build, engine, engines
from firmware.machine import Machine, TargetFault
from firmware.native import Native
from firmware.target import Target
from pipeline.capacity import Capacity
from pipeline.checks import example_format
from pipeline.errors import BitspikeError, MissingExtraError
from pipeline.neural.bandpass import Bandpass, BandpassParameters

MOST = 24
PROBES = """
#include <stdint.h>
uint32_t bs_version(void);
uint32_t bs_sum(const int32_t *a, uint32_t count);
uint32_t bs_many(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f, uint32_t g, uint32_t h, uint32_t i);
uint32_t bs_write(int32_t *a, uint32_t at);
uint32_t bs_deep(uint32_t depth);
uint32_t bs_wander(void);
uint32_t bs_divide(const uint64_t *a, uint32_t by);
uint32_t bs_version(void) { return 1; }
uint32_t bs_sum(const int32_t *a, uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t n = 0; n < count; n++) {
        sum += (uint32_t)a[n];
    }
    return sum;
}
uint32_t bs_many(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f, uint32_t g, uint32_t h, uint32_t i)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i;
}
uint32_t bs_write(int32_t *a, uint32_t at) { a[at] = 7; return at; }
uint32_t bs_deep(uint32_t depth)
{
    volatile uint8_t room[256];
    room[depth & 255u] = 1;
    return depth == 0 ? room[0] : bs_deep(depth - 1) + room[1];
}
uint32_t bs_wander(void) { return ((uint32_t (*)(void))(uintptr_t)0x09000000u)(); }
uint32_t bs_divide(const uint64_t *a, uint32_t by) { return (uint32_t)(*a / by); }
"""


@pytest.fixture(scope="module", params=build.CORES)
def machine(request, tmp_path_factory):
    """A core with functions that do right and wrong."""
    root = tmp_path_factory.mktemp("probes")
    for part in ("src", "include", "image"):
        (root / part).mkdir()
    for name in ("emulated.ld", "runtime.c"):
        (root / "image" / name).write_text((build.ROOT / "image" / name).read_text())
    (root / "src/probes.c").write_text(PROBES)
    return Machine(request.param, build.image(request.param, 1, optimise="-O0", root=root))  # -O0: no IT blocks


def test_calls_with_arrays_and_more_words_than_registers(machine):
    a = np.arange(100, dtype=np.int32) - 30
    assert machine.call("bs_sum", a, 100) == a.sum()
    assert machine.call("bs_sum", a[:0], 0) == 0
    assert machine.call("bs_many", *range(1, 10)) == sum(i * i for i in range(1, 10))
    assert machine.call("bs_write", a, 3) == 3
    assert a[3] == 7
    assert machine.call("bs_divide", np.array([10**15], np.uint64), 10**6) == 10**9


def test_arrays_may_grow_from_call_to_call(machine):
    for count in (1, 1000, 100_000, 10):
        a = np.ones(count, np.int32)
        assert machine.call("bs_sum", a, count) == count


def test_faults_name_function_address_and_argument(machine):
    a, constant = np.zeros(10, np.int32), np.zeros(10, np.int32)
    constant.flags.writeable = False
    with pytest.raises(
        TargetFault, match=r"bs_sum: read 4 bytes at address 0x\w+, 0 bytes past the end of argument 1 at bs_sum\+0x"
    ):
        machine.call("bs_sum", a, 11)
    with pytest.raises(
        TargetFault, match=r"bs_write: wrote 4 bytes at address 0x\w+, 4 bytes past the end of argument 1 at bs_write"
    ):
        machine.call("bs_write", a, 11)
    with pytest.raises(TargetFault, match="in constant argument 1"):
        machine.call("bs_write", constant, 1)
    with pytest.raises(TargetFault, match="below the stack"):
        machine.call("bs_deep", 1000)
    with pytest.raises(TargetFault, match="jumped to address 0x09000000"):
        machine.call("bs_wander")
    assert machine.call("bs_sum", a, 10) == 0  # and all is well again


def test_counts_by_block_are_those_by_instruction(machine):
    import unicorn

    a, executed = np.ones(1000, np.int32), []
    calls = [("bs_sum", a, 1000), ("bs_many", *range(9)), ("bs_write", a, 5)]
    with machine.counting() as counts:
        for call in calls:
            machine.call(*call)
    machine._core.ctl_flush_tb()
    hook = machine._core.hook_add(unicorn.UC_HOOK_CODE, lambda *_: executed.append(1))
    for call in calls:
        machine.call(*call)
    machine._core.hook_del(hook)
    machine._core.ctl_flush_tb()
    assert counts.total == len(executed)
    assert set(counts.by_function) == {"bs_sum", "bs_many", "bs_write"}


def test_counting_is_repeatable_and_ends(machine):
    a = np.ones(50, np.int32)
    totals = []
    for _ in range(2):
        with machine.counting() as counts:
            machine.call("bs_sum", a, 50)
        totals.append(counts.total)
    machine.call("bs_sum", a, 50)
    assert totals[0] == totals[1] == counts.total > 50


def test_unknown_names_are_refused_in_one_line():
    with pytest.raises(BitspikeError, match="no core is named 'z80'; there are: cortex-m4, rv32imc"):
        Target("z80")
    with pytest.raises(BitspikeError, match="no engine is named 'gpu'; there are: host, native, cortex-m4, rv32imc"):
        engine("gpu")
    with pytest.raises(BitspikeError, match="toolchain = 'tcc'; choose zig or gcc"):
        build.image("rv32imc", 8, toolchain="tcc")


def test_engines_are_listed_by_name():
    assert list(engines()) == ["native", "cortex-m4", "rv32imc"]
    assert all(name == one.name == engine(name).name for name, one in engines().items())


@pytest.mark.parametrize("one", [Native(), Target("cortex-m4", MOST)], ids=lambda e: e.name)
def test_too_many_channels_are_refused(one):
    most = one.capacity(Capacity(channels=1)).channels
    signal = example_format(most + 1)
    with pytest.raises(BitspikeError, match=rf"{one.name}: compiled for at most {most} channels, this needs {most + 1}"):
        Bandpass(BandpassParameters(), signal, engine=one)


@pytest.mark.parametrize("one", [Native(), Target("rv32imc", MOST)], ids=lambda e: e.name)
def test_stage_without_twin_is_refused(one):
    class Strange(Bandpass):
        name = ""

    Strange.name = "strange"
    with pytest.raises(BitspikeError, match=f"stage strange: not in the C library, so it cannot run on {one.name}"):
        Strange(BandpassParameters(), example_format(), engine=one)


@pytest.mark.parametrize("one", [Native(), Target("rv32imc", MOST)], ids=lambda e: e.name)
def test_arrays_that_are_not_contiguous_are_refused(one):
    running = Bandpass(BandpassParameters(), example_format(4), engine=one)
    x = np.zeros((10, 8), np.int16)[:, ::2]
    with pytest.raises(ValueError, match="not C-contiguous"):
        running.step(x, np.zeros((10, 4), np.int16), 10, 4)


@pytest.mark.parametrize("one", [Native(), Target("rv32imc", MOST)], ids=lambda e: e.name)
def test_engines_survive_pickling(one):
    assert pickle.loads(pickle.dumps(one)).capacity(Capacity(3)) == one.capacity(Capacity(3))


@pytest.mark.parametrize("missing", ["unicorn", "elftools.elf.elffile"])
def test_missing_emulator_names_the_extra(monkeypatch, missing):
    image = build.image("rv32imc", MOST)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'bitspike[firmware]'")):
        Machine("rv32imc", image)


def test_missing_compiler_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="compiling the firmware needs the 'firmware' extra"):
        build.zig()


def test_missing_cross_compiler_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BitspikeError, match="cortex-m4: arm-none-eabi-gcc is not on the path; install it, or build with zig"):
        build.image("cortex-m4", MOST, toolchain="gcc")


def test_sources_that_do_not_compile_give_the_first_complaint(copy):
    (copy / "src/bandpass.c").write_text("int bs_broken(void) { return }\n")
    with pytest.raises(BitspikeError, match=r"the firmware does not compile: .*bandpass\.c:1"):
        build.host_library(["gcc"], "-O1", MOST, copy)


def test_native_library_that_is_damaged_is_named(tmp_path):
    path = tmp_path / "bitspike_native.so"
    path.write_bytes(b"not a library")
    with pytest.raises(BitspikeError, match=r"bitspike_native\.so: the native library cannot be loaded"):
        Native(path).capacity(Capacity(1))


def test_cache_folder_that_cannot_be_made_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BITSPIKE_CACHE", str(tmp_path / "file"))
    with pytest.raises(BitspikeError, match="set BITSPIKE_CACHE"):
        build.cache_folder()
