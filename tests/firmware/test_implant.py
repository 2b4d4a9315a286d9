"""The chain implant16 sorts with the host's bits, and fits: 25 MHz of a Cortex-M4, 32 KiB of RAM, 32 KiB of flash."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from firmware import build
from firmware.costs import cycles
from firmware.generate import Generated
from firmware.machine import STACK_BYTES, STACK_TOP
from firmware.room import chain_capacity, laid_chain
from firmware.target import Target
from pipeline.blocks import SampleFormat, Samples, concatenate
from pipeline.chain import read_chain
from pipeline.checks import require_same
from pipeline.training import train

RATE, CHANNELS = 24_000, 16
BLOCK, SPIKES = 32, 16  # frames, and spikes that may come out, of the application's blocks
SIGNAL = SampleFormat(float(RATE), CHANNELS, 0.5, 12, groups=tuple(c // 4 for c in range(CHANNELS)))
CLOCK_HZ, FLASH_BYTES, RAM_BYTES = 25_000_000, 32 * 1024, 32 * 1024
A_SAMPLE, A_SPIKE = 40.0, 14_500.0  # instructions, at most: of noise, and on top of it
STACK = 2560  # bytes, an interrupt included


def recording(seconds, seed, rate_hz=20.0):
    """Return int16 [frames, 16] of noise and three units a tetrode, which overlap freely; the spikes' frames and units."""
    shapes, rng = np.random.default_rng(7), np.random.default_rng(seed)
    frames, t = int(seconds * RATE), np.arange(40) - 12
    x, when, unit = rng.normal(0, 12, (frames, CHANNELS)), [], []
    for u in range(12):
        wave = -np.exp(-0.5 * (t / shapes.uniform(2, 4.5)) ** 2)
        wave += shapes.uniform(0.2, 0.6) * np.exp(-0.5 * ((t - shapes.uniform(7, 12)) / 4.0) ** 2)
        spread = np.roll([1.0, *shapes.uniform(0.1, 0.8, 3)], u % 4)
        scaled = shapes.uniform(150, 450) * wave[:, None] * spread
        times = np.cumsum(rng.exponential(RATE / rate_hz, int(3 * seconds * rate_hz)) + 0.002 * RATE).astype(int)
        times = times[(times > 100) & (times < frames - 200)]
        for at in times:
            x[at - 12 : at + 28, u // 3 * 4 : u // 3 * 4 + 4] += scaled
        when.append(times)
        unit.append(np.full(len(times), u))
    return np.clip(np.rint(x), -2048, 2047).astype(np.int16), np.concatenate(when), np.concatenate(unit)


def blocks(x, first=0, step=BLOCK):
    bounds = [*range(first, len(x), step), len(x)]
    return [Samples(a - first, np.ascontiguousarray(x[a:b])) for a, b in pairwise(bounds)]


@pytest.fixture(scope="module")
def tables():
    """What the chain has learned from 12 s."""
    return train(read_chain("implant16"), SIGNAL, lambda: iter(blocks(recording(12, 0)[0], step=4800)))


@pytest.fixture(scope="module")
def laid(tables):
    """The trained chain on the host, laid out for just this chain."""
    return laid_chain(read_chain("implant16"), SIGNAL, tables)


@pytest.fixture(scope="module")
def engine(laid):
    """A Cortex-M4 with the library compiled for it."""
    return Target("cortex-m4", chain_capacity(laid), optimise="-Os")


@pytest.fixture(scope="module")
def application(laid):
    """Sizes of the application's sections."""
    capacity = chain_capacity(laid)
    generated = Generated(laid, capacity, BLOCK, SPIKES)
    path = build.application("cortex-m4", generated.name, generated.files(), capacity, optimise="-Os")
    with path.open("rb") as file:
        return {s.name: s["sh_size"] for s in ELFFile(file).iter_sections() if s["sh_flags"] & 2}


def on(engine, tables):
    """Return the chain on an engine."""
    return read_chain("implant16").build(SIGNAL, tables, engine)


def test_sorts_on_the_host_and_with_the_same_bits_on_the_core(engine, laid, tables):
    x, when, unit = recording(6, 1)
    chain = on(engine, tables)
    laid.reset()
    expected = concatenate([laid.process(block)["sorter"] for block in blocks(x)])
    part = blocks(x)[: 2 * RATE // BLOCK]
    got = concatenate([chain.process(block)["sorter"] for block in part])
    laid.reset()
    require_same("sorter", "on the core", got, concatenate([laid.process(block)["sorter"] for block in part]))
    right = 0
    for u in range(12):
        true, best = when[unit == u], 0
        for k in np.unique(expected.unit[expected.unit >= 0]):
            found = expected.sample[expected.unit == k]
            hits = sum(np.any(np.abs(found - at) <= 8) for at in true)
            best = max(best, hits / (len(true) + len(found) - hits))
        right += best > 0.9
    assert right >= 11
    assert np.unique(expected.channel // 4).tolist() == [0, 1, 2, 3]


def test_instructions_and_cycles_fit_the_clock(engine, laid, tables):
    quiet, (x, when, _) = recording(2, 2, 0.001)[0], recording(2, 3, 6.0)
    cost = []
    for signal in (quiet, x):
        chain = on(engine, tables)
        for block in blocks(signal)[: RATE // BLOCK]:
            chain.process(block)
        with engine.counting() as counts:
            for block in blocks(signal)[RATE // BLOCK :]:
                chain.process(block)
        cost.append(counts.total)
    spikes = np.sum(when >= RATE)
    assert spikes > 50
    assert cost[0] / (RATE * CHANNELS) <= A_SAMPLE
    assert (cost[1] - cost[0]) / spikes <= A_SPIKE
    assert cycles(counts, "cortex-m4") <= CLOCK_HZ  # of one second


def test_flash_and_ram_fit(application):
    assert application[".text"] + application[".data"] <= FLASH_BYTES
    assert application[".data"] + application[".bss"] + STACK <= RAM_BYTES


def test_stack_is_enough(engine, laid, tables):
    core, bottom = engine.machine._core, STACK_TOP - STACK_BYTES
    core.mem_write(bottom, b"\xa5" * STACK_BYTES)
    chain = on(engine, tables)
    for block in blocks(recording(2, 4, 80.0)[0]):
        chain.process(block)
    used = np.frombuffer(bytes(core.mem_read(bottom, STACK_BYTES)), np.uint8) != 0xA5
    assert 512 < STACK_BYTES - int(used.argmax()) <= STACK
