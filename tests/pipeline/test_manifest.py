"""The run manifest: plain values, one text for one content, an identity that leaves out what does not matter."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.chain import parse_chain
from pipeline.checks import example_format
from pipeline.errors import BitspikeError
from pipeline.layout import blank, layout, settled
from pipeline.manifest import Manifest, describe_chain, digest, parse_manifest, plain

TEXT = "[[stage]]\nname = 'bandpass'\nlabel = 'band'\n[[stage]]\nname = 'threshold'\nthreshold = 6"


def manifest(text=TEXT, **recording):
    chain = parse_chain(text).build(example_format())
    return Manifest({"path": "/a", "rate_hz": 24_000.0, **recording}, describe_chain(chain))


def test_text_reads_back_as_it_was():
    one = replace(manifest(), counts={"spikes": np.int64(3), "rates": np.array([1.5, np.nan])}, timings={"seconds": np.float32(2)})
    again = parse_manifest(one.to_json(), "manifest.json")
    assert again.counts == {"spikes": 3, "rates": [1.5, None]}
    assert again.to_json() == one.to_json()
    assert json.loads(one.to_json())["versions"]["numpy"] == np.__version__


def test_identity_is_of_recording_and_chain():
    assert manifest(path="/elsewhere").identity == manifest().identity
    assert replace(manifest(), timings={"seconds": 3}).identity == manifest().identity
    assert manifest(rate_hz=30_000.0).identity != manifest().identity
    assert manifest(TEXT.replace("6", "7")).identity != manifest().identity


def test_a_chain_is_described_with_the_digest_of_its_tables():
    chain = parse_chain(TEXT).build(example_format())
    described = describe_chain(chain)
    band, threshold = described["stages"]
    assert (band["label"], band["name"], band["from"]) == ("band", "bandpass", ["input"])
    assert (threshold["parameters"]["threshold"], threshold["from"]) == (6, ["band"])
    assert band["tables"]["bytes"] == chain.stages["band"].tables.nbytes
    assert described["text"] == TEXT


def test_digest_does_not_see_padding():
    dtype = layout(a="u1", b="i4")
    dirty = np.frombuffer(bytes([7, 99, 99, 99, 5, 0, 0, 0]), dtype)[0].reshape(())
    assert settled(dirty).tobytes() == bytes([7, 0, 0, 0, 5, 0, 0, 0])
    clean = blank(dtype)
    clean["a"], clean["b"] = 7, 5
    assert digest(dirty) == digest(clean) == hashlib.sha256(clean.tobytes()).hexdigest()


def test_plain_values():
    value = {1: (np.int16(3), Path("a/b")), "x": [True, None, float("inf")], "y": np.arange(4).reshape(2, 2)}
    assert plain(value) == {"1": [3, "a/b"], "x": [True, None, None], "y": [[0, 1], [2, 3]]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "format is None"),
        ('{"format": "bitspike run 9"}', "format is 'bitspike run 9', expected 'bitspike run 1'"),
        ('{"format": "bitspike run 1"}', "not a complete manifest"),
        ('{"format": "bitspike run 1", "recording": {}, "chain": {}, "colour": 1}', "not a complete manifest"),
    ],
)
def test_what_is_no_manifest_is_refused(text, says):
    with pytest.raises(BitspikeError, match=f"^run/manifest.json: {says}"):
        parse_manifest(text, "run/manifest.json")
