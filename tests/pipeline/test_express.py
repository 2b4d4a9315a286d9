"""Stages in one call give what they give one after the other, to the bit, and what comes out stays as it is."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest

from pipeline.blocks import SPIKE_COLUMNS, Samples, Spikes
from pipeline.chain import Chain, parse_chain
from pipeline.checks import example_format, example_signal, random_bounds
from pipeline.errors import BitspikeError
from pipeline.express import INPUT, MOST_SAMPLES, Express
from pipeline.fixed import kernel
from pipeline.layout import blank, layout
from pipeline.stage import Design, Parameters, Stage

EVERYTHING = """
[[stage]]
name = "adc"
[[stage]]
name = "artefact"
[[stage]]
name = "decimate"
label = "field"
[[stage]]
name = "bandpass"
label = "band"
from = "artefact"
[[stage]]
name = "reference"
[[stage]]
name = "threshold"
threshold = 4
[[stage]]
name = "energy"
from = "reference"
[[stage]]
name = "exclusion"
from = "threshold"
[[stage]]
name = "sorter"
from = ["reference", "exclusion"]
learn = 25
"""
MIXED = """
[[stage]]
name = "bandpass"
label = "band"
[[stage]]
name = "threshold"
[[stage]]
name = "snippets"
from = ["band", "threshold"]
[[stage]]
name = "extrema"
[[stage]]
name = "exclusion"
from = "threshold"
[[stage]]
name = "decimate"
from = "band"
[[stage]]
name = "artefact"
from = "decimate"
"""


class Alone(Chain):
    """A chain whose stages run one after the other."""

    def _way(self, block):
        return None


def pieces(x, bounds, lost=()):
    """Yield blocks; every third has flags, and those whose number is in `lost` do not arrive."""
    for number, (a, b) in enumerate(pairwise(bounds)):
        if number not in lost:
            flags = np.zeros(b - a, np.uint8)
            flags[: number % 5] = 2
            yield Samples(a, np.ascontiguousarray(x[a:b]), flags if number % 3 == 0 else None)


def require_equal(got, expected, what):
    assert type(got) is type(expected), what
    names = ("start", "data", "flags") if isinstance(got, Samples) else ("start", "stop", *SPIKE_COLUMNS)
    for name in names:
        one, other = getattr(got, name), getattr(expected, name)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype, (what, name)
            assert np.array_equal(one, other), (what, name)
        else:
            assert one == other, (what, name)


@pytest.mark.parametrize("text", [EVERYTHING, MIXED], ids=["everything", "mixed"])
@pytest.mark.parametrize("channels", [6, 17])
def test_same_as_one_stage_after_the_other(text, channels):
    plan, signal = parse_chain(text), example_format(channels)
    x = example_signal(24_000, signal)
    rng = np.random.default_rng(channels)
    bounds = sorted({*random_bounds(len(x), rng), 11_000, 15_000})
    lost = rng.integers(0, len(bounds), 6)
    one, other = plan.build(signal), Alone(plan, signal)
    ways = set()
    for block in pieces(x, bounds, lost):
        got, expected = one.process(block), other.process(block)
        ways.add(type(got))
        assert set(got) == set(expected) == {INPUT, *one.stages}
        assert len(got) == len(expected)
        for label in expected:
            require_equal(got[label], expected[label], f"{label} at {block.start}")
        assert one.checkpoint() == other.checkpoint()
    assert len(ways) == (2 if text is EVERYTHING else 1)  # learning does not go the quick way
    got, expected = one.finish(), other.finish()
    for label in expected:
        require_equal(got[label], expected[label], f"{label} at the end")


def test_continues_where_the_other_way_stopped():
    plan, signal = parse_chain(EVERYTHING), example_format()
    x = example_signal(12_000, signal)
    blocks = list(pieces(x, [*range(0, len(x), 500), len(x)]))
    whole = Alone(plan, signal)
    expected = [whole.process(block) for block in blocks]
    one, other = plan.build(signal), Alone(plan, signal)
    for block, right in zip(blocks, expected, strict=True):
        got = one.process(block)
        for label in right:
            require_equal(got[label], right[label], label)
        other.restore(one.checkpoint())
        one, other = other, pickle.loads(pickle.dumps(one))


def test_outputs_stay_as_they_are():
    plan, signal = parse_chain(EVERYTHING), example_format()
    x = example_signal(9000, signal)
    blocks = list(pieces(x, [*range(0, len(x), 250), len(x)]))
    one, other = plan.build(signal), Alone(plan, signal)
    kept = [one.process(block) for block in blocks]
    band = [one_block["band"] for one_block in kept]
    for one_block, samples, block in zip(kept, band, blocks, strict=True):
        right = other.process(block)
        require_equal(samples, right["band"], "band")
        for label in right:
            require_equal(one_block[label], right[label], label)
    del kept
    before = [samples.data.copy() for samples in band]
    one.reset()
    for block in blocks:
        one.process(block)
    assert all(np.array_equal(samples.data, data) for samples, data in zip(band, before, strict=True))


def test_the_input_is_left_alone():
    plan, signal = parse_chain(EVERYTHING), example_format()
    x = example_signal(2000, signal)
    x.flags.writeable = False
    before, chain = x.copy(), plan.build(signal)
    outputs = chain.process(Samples(0, x))
    assert outputs[INPUT].data is x
    assert outputs["adc"].data.flags.writeable
    assert outputs["artefact"].data is not x
    assert np.array_equal(x, before)


def test_long_blocks_and_bad_blocks_go_the_usual_way():
    plan, signal = parse_chain(MIXED), example_format()
    one, other = plan.build(signal), Alone(plan, signal)
    x = example_signal(MOST_SAMPLES // 6 + 100, signal)
    got, expected = one.process(Samples(0, x)), other.process(Samples(0, x))
    assert isinstance(got, dict)
    for label in expected:
        require_equal(got[label], expected[label], label)
    for bad in (x[:10].astype(np.int32), x[:10, :3].copy(), x[:20:2], x[:10].T.copy()):
        with pytest.raises(BitspikeError, match="bandpass"):
            one.process(Samples(len(x), bad))
    with pytest.raises(BitspikeError, match="before the"):
        one.process(Samples(0, x[:10]))


@kernel
def never(reserved, count, x, at, channel, amplitude, frames):
    count[0] += 1
    return -5 if count[0] == 3 else 0


class Refusing(Stage):
    Parameters = Parameters
    gives = Spikes
    kernel = staticmethod(never)
    call = ("x", "out_at", "out_channel", "out_amplitude", "frames")

    @classmethod
    def tables_layout(cls, capacity):
        return layout(reserved="i4")

    @classmethod
    def state_layout(cls, capacity):
        return layout(count="i4")

    @classmethod
    def design(cls, parameters, signal, capacity):
        return Design(blank(cls.tables_layout(capacity)), signal)

    def refused(self, code):
        return BitspikeError(f"this is {code}")

    def advance(self, samples):
        raise AssertionError


def test_a_block_that_a_kernel_refuses_says_why():
    signal = example_format()
    express = Express([("a", Refusing(Parameters(), signal), (INPUT,))], signal.channels, 100)
    for start in (0, 10):
        assert len(express.run(Samples(start, np.zeros((10, 6), np.int16)))["a"]) == 0
    with pytest.raises(BitspikeError, match="this is -5"):
        express.run(Samples(20, np.zeros((10, 6), np.int16)))
