"""A wrong shift, rounding or constant in the C does not go unnoticed, and what notices it names the place and both values."""

from __future__ import annotations

import pytest

from firmware import build, has
from firmware.decoding import DECODERS
from firmware.native import Native
from pipeline.chain import load_stages
from pipeline.checks import (
    ContractBroken,
    _fresh,
    check_full_scale,
    check_same_as_host,
    example_input,
    example_of,
    require_same,
    run,
)
from pipeline.stage import HOST, REGISTRY

load_stages()

MUTATIONS = [
    ("bandpass", "#define COEFFICIENT_BITS 29", "#define COEFFICIENT_BITS 28"),
    ("bandpass", "bs_saturate16(bs_round_shift(value, tables->shift))", "bs_saturate16(value >> tables->shift)"),
    ("bandpass", "bs_saturate16(bs_round_shift(value, tables->shift))", "(int16_t)bs_round_shift(value, tables->shift)"),
    ("bandpass", ">> scale;", ">> (scale + 1u);"),
    ("bandpass", "change = bs_subtract(value, y2);", "change = bs_subtract(value, y1);"),
    ("adc", "#define LEVEL_BITS 14u", "#define LEVEL_BITS 13u"),
    ("adc", "code > top ? top", "code > top ? top - 1"),
    ("artefact", "#define MEAN_TO_MEDIAN 55401u", "#define MEAN_TO_MEDIAN 15401u"),
    ("artefact", "stepped >= tables->step_channels", "stepped > tables->step_channels"),
    ("background", "now - here[2] <= window", "now - here[1] <= window"),
    ("background", "near >= tables->neighbours", "near > tables->neighbours"),
    ("biquad", "#define FRACTION 15u", "#define FRACTION 14u"),
    ("biquad", "(lost >> shift)", "(lost >> (shift + 1u))"),
    ("biquad", "s->y2 = s->y1;", "s->y2 = y;"),
    ("clusters", "miss_x >> 3", "miss_x >> 2"),
    ("clusters", "n >= (int64_t)2 * track[VALLEY]", "n >= (int64_t)3 * track[VALLEY]"),
    ("clusters", "tables->width << FINE", "tables->width << FINE >> 1"),
    ("components", "int64_t total = 1 << 14", "int64_t total = 0"),
    ("components", "total >> 15", "total >> 14"),
    ("correlation", "? -1 : 0", "? 0 : 0"),
    ("decimate", "(value + half) >> shift", "(value + half / 2) >> shift"),
    ("decimate", "state->pending = 0;", ""),
    ("energy", "#define MEAN_TO_MEDIAN 41386u", "#define MEAN_TO_MEDIAN 41086u"),
    ("energy", "now < energy(rows_of(from, n), c)", "now <= energy(rows_of(from, n), c)"),
    ("energy", "BS_NOISE_LOOKS - 1 - state->noise_seen", "BS_NOISE_LOOKS - state->noise_seen"),
    ("exclusion", "bs_size(state->amplitude[j]) >= size", "bs_size(state->amplitude[j]) > size"),
    ("exclusion", "bs_size(state->amplitude[j]) > limit", "bs_size(state->amplitude[j]) < limit"),
    ("extrema", "d2 = now - 2 * first + second", "d2 = now - 2 * first - second"),
    ("extrema", "bs_size(now) > bs_size(peak)", "bs_size(now) >= bs_size(peak)"),
    ("hot_pixels", "now - state->began >= tables->learn_us", "now - state->began > tables->learn_us + 20u"),
    ("polarity", "polarity ^ tables->invert", "polarity"),
    ("pooling", "level - tables->threshold : level", "0 : level"),
    ("rate_guard", "used + TOKEN <= tables->size", "used + TOKEN < tables->size"),
    ("records", "smaller > count / 3u", "smaller > count / 2u"),
    ("records", "100 * value >", "50 * value >"),
    ("reference", "half = (count - 1) / 2", "half = count / 2"),
    ("reference", "positive * reciprocal >> shift", "positive * reciprocal >> (shift + 1)"),
    ("refractory", "now - *last >= tables->period", "now - *last > tables->period"),
    ("region", "width - 1u - u", "width - u"),
    ("snippets", "turn >= 3 * size", "turn >= 2 * size"),
    ("snippets", "int32_t total = 1 << 14", "int32_t total = 0"),
    ("fitting", "#define SHORT 3", "#define SHORT 1"),
    ("fitting", "own * 13 >> 5", "own * 5 >> 5"),
    ("fitting", "+ (1 << (SCALE_BITS - 1))", ""),
    ("sorter", "#define FEATURE_BITS 12", "#define FEATURE_BITS 11"),
    ("sorter", "* 256 - *drift", "* 128 - *drift"),
    ("sorter", "FRAME_MASK) <= 2u * dead", "FRAME_MASK) < dead"),
    ("waiting", "age - other <= tables->reach", "age - other < tables->reach / 2"),
    ("threshold", "#define FRACTION 12u", "#define FRACTION 11u"),
    ("tracker", "1u << (k & 7u)", "1u << (k & 3u)"),
    ("tracker", "apart_x + apart_y < least", "apart_x + apart_y <= least"),
    ("threshold", "now < before && now <= after", "now <= before && now < after"),
]
HEADERS = [  # what several stages share, by one of them
    ("threshold", "noise.h", "fraction + 7u", "fraction + 6u"),
    ("energy", "noise.h", "excess > BS_NOISE_FAR && before > BS_NOISE_FAR", "excess > BS_NOISE_FAR"),
    ("artefact", "noise.h", "windows * 0x9E3779B1u >> 10", "windows * 0x9E3779B1u >> 11"),
    ("threshold", "detection.h", "frame + (int32_t)refractory", "frame + (int32_t)refractory + 1"),
    ("reference", "pairs.h", "bs_second(a) >= bs_second(b)", "bs_second(a) > bs_second(b)"),
    ("biquad", "pairs.h", "(int64_t)bs_second(a) * bs_second(b)", "(int64_t)bs_second(a) * bs_first(b)"),
    ("biquad", "pairs.h", "high << (32u - shift)", "high << (31u - shift)"),
    ("bandpass", "fixed.h", "INT64_C(0x80000000)", "INT64_C(0x40000000)"),
    ("adc", "fixed.h", "1u << (shift - 1u)", "1u << shift >> 2"),
]
NEEDS = {"sorter": ("gaussian", "fitting", "waiting"), "tracker": ("clusters", "records")}  # other files of the library
PARTS = {part: name for name, parts in NEEDS.items() for part in parts}
VARIANTS = {
    ("biquad", "pairs.h"),
    ("reference", "pairs.h"),
    ("bandpass", "fixed.h"),
}  # only these stages' variants for DSP instructions use it
ENTRIES = {  # by stage: a field of its tables, the place in it, and what is added
    "adc": ("gain", (), 100),
    "artefact": ("hold", (), 1),
    "background": ("window", (), 5),
    "bandpass": ("c1", (0,), 1 << 16),
    "biquad": ("coefficients", (0, 4), 1),
    "components": ("axes", (0, 3), 1),
    "correlation": ("support", (), 1),
    "decimate": ("coefficients", (2,), 1),
    "energy": ("factor", (), 1 << 14),
    "exclusion": ("rounds", (), -1),
    "extrema": ("width", (), -1),
    "hot_pixels": ("learn_us", (), 1000),
    "polarity": ("invert", (), 1),
    "pooling": ("fine", (3,), -3000),
    "rate_guard": ("size", (), 1 << 16),
    "reference": ("begin", (1,), 1),
    "refractory": ("period", (), 1),
    "region": ("left", (), 1),
    "snippets": ("taps", (3, 3), 1),
    "sorter": ("dead", (), -12),
    "threshold": ("positive", (), 1),
    "tracker": ("seed_us", (), 10),
}
PLACE = r"(sample \d+, channel \d+|\w+\[[\d, ]+\]): -?\d+, expected -?\d+$"
SHAPE = r"\w+ is \w+ \([\d, ]+\), expected \w+ \([\d, ]+\)$"  # of lists of spikes


def require_noticed(name, file, old, new, root):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    for other in build.sources(root):
        if other.stem not in (name, "version", *NEEDS.get(name, ())):
            other.unlink()  # compiling them takes time
    dsp = int((name, file.name) in VARIANTS)
    engine, cls = Native(build.host_library(["gcc", f"-DBS_DSP={dsp}"], "-O0", 24, root)), REGISTRY[name]
    cases = [(check, p) for check in (check_same_as_host, check_full_scale) for p in cls.examples()]
    with pytest.raises(ContractBroken, match=f"^{name}: .*({PLACE}|{SHAPE})"):
        all(check(cls, parameters, engine) is None for check, parameters in cases)


@pytest.mark.parametrize(("name", "old", "new"), MUTATIONS)
def test_mutation_is_noticed(copy, name, old, new):
    require_noticed(PARTS.get(name, name), copy / "src" / f"{name}.c", old, new, copy)


@pytest.mark.parametrize(("name", "header", "old", "new"), HEADERS)
def test_mutation_of_shared_text_is_noticed(copy, name, header, old, new):
    require_noticed(name, copy / "include/bitspike" / header, old, new, copy)


@pytest.mark.parametrize("name", ENTRIES)
def test_changed_table_entry_is_noticed(name):
    cls, signal, (field, place, more) = REGISTRY[name], example_of(REGISTRY[name]), ENTRIES[name]
    x = example_input(6000, signal)
    parameters = next(iter(cls.examples()))
    changed = _fresh(cls, parameters, Native())
    changed.tables[field][place] = int(changed.tables[field][place]) + more
    got, expected = (run(running, x, [0, 6000], signal) for running in (changed, _fresh(cls, parameters, HOST)))
    with pytest.raises(ContractBroken, match=f"^{name}: .*({PLACE}|{SHAPE})"):
        require_same(name, "with another table", got, expected)


def test_every_module_is_mutated():
    assert set(ENTRIES) == {name for name in REGISTRY if has(name)}
    others = {
        "gaussian",
        "ranking",
        "clustering",
        "principal",
        "units",
        "learning",
        *DECODERS,
    }  # test_learning.py and test_decoding.py have theirs
    assert {path.stem for path in build.sources()} - {"version", "tables"} - others == {name for name, *_ in MUTATIONS}
