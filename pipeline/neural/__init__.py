"""Stages for extracellular electrodes; importing this package registers all of them."""

from pipeline.neural import (
    adc,
    artefact,
    bandpass,
    biquad,
    components,
    decimate,
    energy,
    exclusion,
    extrema,
    reference,
    snippets,
    threshold,
)

__all__ = [
    "adc",
    "artefact",
    "bandpass",
    "biquad",
    "components",
    "decimate",
    "energy",
    "exclusion",
    "extrema",
    "reference",
    "snippets",
    "threshold",
]
