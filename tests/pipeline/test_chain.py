"""Chains: what TOML may say, how outputs flow, and what is refused with which words."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.blocks import Samples, Spikes
from pipeline.chain import packaged_chains, parse_chain, read_chain
from pipeline.checks import example_events, example_format, example_sensor, example_signal
from pipeline.errors import BitspikeError
from pipeline.training import train

TEXT = """
name = "both"
[sensor]
kind = "electrodes"
max_channels = 16
[[stage]]
name = "bandpass"
label = "band"
low_hz = 300
high_hz = 5000
save = true
[[stage]]
name = "threshold"
threshold = 5
[[stage]]
name = "exclusion"
rounds = 1
[[stage]]
name = "sorter"
from = ["band", "exclusion"]
"""


def joined(chain, x, size):
    sample, channel = [], []
    for a in range(0, len(x), size):
        out = chain.process(Samples(a, np.ascontiguousarray(x[a : a + size])))["exclusion"]
        sample.append(out.sample)
        channel.append(out.channel)
    out = chain.finish()["exclusion"]
    return np.concatenate([*sample, out.sample]), np.concatenate([*channel, out.channel])


def test_outputs_flow_by_label():
    plan = parse_chain(TEXT)
    assert (plan.name, plan.sensor, plan.max_channels) == ("both", "electrodes", 16)
    chain = plan.build(example_format())
    assert chain.saved == ["band", "sorter"]
    outputs = chain.process(Samples(0, example_signal(4000, example_format())))
    assert list(outputs) == ["input", "band", "threshold", "exclusion", "sorter"]
    assert isinstance(outputs["sorter"], Spikes)
    assert chain.latency == sum(chain.stages[s].latency for s in ("threshold", "exclusion", "sorter"))


def test_blocks_end_and_checkpoint_change_nothing():
    signal = example_format()
    x = example_signal(9000, signal)
    expected = joined(parse_chain(TEXT).build(signal), x, 9000)
    assert len(expected[0]) > 5
    assert np.array_equal(joined(parse_chain(TEXT).build(signal), x, 101), expected)
    first, second = parse_chain(TEXT).build(signal), parse_chain(TEXT).build(signal)
    before = first.process(Samples(0, np.ascontiguousarray(x[:4321])))["exclusion"]
    second.restore(first.checkpoint())
    after = second.process(Samples(4321, np.ascontiguousarray(x[4321:])))["exclusion"]
    end = second.finish()["exclusion"]
    assert np.array_equal(np.concatenate([before.sample, after.sample, end.sample]), expected[0])


def test_a_spike_at_the_very_end_is_not_lost():
    signal = example_format(1)
    x = np.random.default_rng(0).normal(0, 10, (6000, 1))
    t = np.arange(30)
    x[5960:5990, 0] -= 900 * np.exp(-0.5 * ((t - 10) / 2.5) ** 2)
    chain = parse_chain(TEXT).build(signal)
    assert joined(chain, np.rint(x).astype(np.int16), 6000)[0].max() > 5960


def test_trained_tables_are_used():
    signal = example_format()
    x = example_signal(120_000, signal, seed=4)
    plan = parse_chain(TEXT)

    def blocks():
        for a in range(0, len(x), 24_000):
            yield Samples(a, np.ascontiguousarray(x[a : a + 24_000]))

    tables = train(plan, signal, blocks)
    assert list(tables) == ["sorter"]
    assert tables["sorter"]["learned"] == 1
    chain = plan.build(signal, tables)
    units = np.concatenate([chain.process(block)["sorter"].unit for block in blocks()])
    assert (units >= 0).any()
    with pytest.raises(BitspikeError, match="no stage for"):
        plan.build(signal, {"other": tables["sorter"]})
    with pytest.raises(BitspikeError, match="another layout"):
        plan.build(example_format(3), tables)


def test_a_chain_without_a_learner_cannot_be_trained():
    with pytest.raises(BitspikeError, match="no stage learns"):
        train(parse_chain('[[stage]]\nname = "bandpass"'), example_format(), list)


def test_what_cannot_be_designed_names_the_chain():
    text, signal = '[[stage]]\nname = "bandpass"\nhigh_hz = 9000', example_format(2, 15_000.0)
    says = "stage bandpass: high_hz = 9000 must be below half the sampling rate"
    with pytest.raises(BitspikeError, match=f"^here/mine.toml: {says}"):
        parse_chain(text, "mine", "here/mine.toml").build(signal)
    with pytest.raises(BitspikeError, match=f"^chain mine: {says}"):
        parse_chain(text, "mine").build(signal)


@pytest.mark.parametrize("name", packaged_chains())
def test_packaged_chains_build_for_common_rates(name):
    if read_chain(name).sensor == "events":
        chain = read_chain(name).build(example_sensor())
        assert chain.process(example_events(3000, chain.signal))
        return
    for rate in (15_000.0, 24_000.0, 30_000.0):
        chain = read_chain(name).build(example_format(4, rate))
        chain.process(Samples(0, example_signal(3000, chain.signal)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[stage]", "not TOML"),
        ("", "no stages"),
        ("colour = 1\n[[stage]]\nname='bandpass'", "no field 'colour'"),
        ("[sensor]\nkind='ear'\n[[stage]]\nname='bandpass'", "choose one of"),
        ("[sensor]\nmax_channels=-2\n[[stage]]\nname='bandpass'", "max_channels"),
        ("[[stage]]\nlow_hz=3", "has no name"),
        ("[[stage]]\nname='fft'", "no stage is named 'fft'"),
        ("[[stage]]\nname='bandpass'\nlow=3", "no parameter 'low'"),
        ("[[stage]]\nname='bandpass'\nlow_hz='x'", "must be a number"),
        ("[[stage]]\nname='bandpass'\nlow_hz=true", "must be a number"),
        ("[[stage]]\nname='bandpass'\norder=2.5", "whole number"),
        ("[[stage]]\nname='bandpass'\nlow_hz=9000", "low_hz"),
        ("[[stage]]\nname='bandpass'\nlow_hz=nan", "low_hz"),
        ("[[stage]]\nname='bandpass'\nfrom='nowhere'", "no earlier stage"),
        ("[[stage]]\nname='bandpass'\n[[stage]]\nname='bandpass'", "two outputs"),
        ("[[stage]]\nname='bandpass'\n[[stage]]\nname='exclusion'", "takes Spikes"),
        ("[[stage]]\nname='bandpass'\n[[stage]]\nname='sorter'", "takes 2 inputs"),
        ("[[stage]]\nname='bandpass'\nfrom=3", "from"),
        ("[[stage]]\nname='bandpass'\nfrom=[['input']]", "from"),
        ("[[stage]]\nname='bandpass'\nlabel=3", "label = 3 must be letters"),
        ("[[stage]]\nname='bandpass'\nlabel='../band'", "must be letters"),
        ("[[stage]]\nname='bandpass'\nsave='yes'", "save = 'yes' must be true or false"),
        ("stage = 3", "no stages"),
        ("stage = [3]", "number 1 has no name"),
        ("sensor = 3\n[[stage]]\nname='bandpass'", "must be a table"),
    ],
)
def test_what_is_wrong_is_named(text, says):
    with pytest.raises(BitspikeError, match=says) as caught:
        parse_chain(text, "mine", "folder/mine.toml")
    assert str(caught.value).startswith("folder/mine.toml: ")
    assert "\n" not in str(caught.value)


def test_files_are_read_or_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    assert read_chain(path).name == "both"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BitspikeError, match="not a text file"):
        read_chain(path)
    with pytest.raises(BitspikeError, match="packaged chains"):
        read_chain(tmp_path / "none.toml")


def test_too_many_channels_and_damaged_checkpoints_are_refused():
    plan = parse_chain(TEXT)
    with pytest.raises(BitspikeError, match="at most 16 channels"):
        plan.build(example_format(17))
    chain = plan.build(example_format())
    for damaged in (b"", chain.checkpoint()[:-3], chain.checkpoint() + b"xx"):
        with pytest.raises(BitspikeError, match="checkpoint"):
            chain.restore(damaged)
