"""Other software that filters, refers and detects, each as a function without arguments that goes through the same signal."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.blocks import SampleFormat

LOW_HZ, HIGH_HZ, ORDER, THRESHOLD, RADIUS_UM, SWEEP_MS = 300.0, 6000.0, 2, 5.0, 75.0, 0.5


def scipy_filter(data: np.ndarray, rate_hz: float, size: int) -> Callable[[], Any]:
    """Return ``scipy.signal.sosfilt`` in float64 with its state handed on from block to block, in the layout that suits it best."""
    from scipy import signal

    sos = signal.butter(ORDER, [LOW_HZ, HIGH_HZ], "bandpass", fs=rate_hz, output="sos")
    x = np.ascontiguousarray(data.T, np.float64)

    def run() -> None:
        state = np.zeros((len(sos), x.shape[0], 2))
        for first in range(0, x.shape[1], size):
            _, state = signal.sosfilt(sos, x[:, first : first + size], axis=1, zi=state)

    return run


def ezmsg_chain(data: np.ndarray, rate_hz: float, size: int, kind: str = "") -> Callable[[], Any]:
    """Return ezmsg-sigproc's Butterworth filter and, with a `kind` ("mean" or "median"), its common reference."""
    from ezmsg.sigproc.affinetransform import CommonRereferenceSettings, CommonRereferenceTransformer
    from ezmsg.sigproc.butterworthfilter import ButterworthFilterSettings, ButterworthFilterTransformer
    from ezmsg.util.messages.axisarray import AxisArray

    settings = ButterworthFilterSettings(order=ORDER, cuton=LOW_HZ, cutoff=HIGH_HZ, coef_type="sos")
    steps: list[Any] = [ButterworthFilterTransformer(settings)]
    if kind:
        steps.append(CommonRereferenceTransformer(CommonRereferenceSettings(mode=kind, axis="ch")))
    messages = [
        AxisArray(
            data[first : first + size],
            dims=["time", "ch"],
            axes={"time": AxisArray.TimeAxis(fs=rate_hz, offset=first / rate_hz)},
            key="signal",
        )
        for first in range(0, len(data), size)
    ]

    def run() -> None:
        for message in messages:
            out = message
            for step in steps:
                out = step(out)

    return run


def as_spikeinterface(data: np.ndarray, signal: SampleFormat) -> Any:
    """Return a signal as SpikeInterface's recording, with its sites."""
    from probeinterface import Probe
    from spikeinterface.core import NumpyRecording

    recording = NumpyRecording([data], signal.rate_hz)
    recording.set_channel_gains(signal.uv_per_count)
    recording.set_channel_offsets(0)
    probe = Probe(ndim=2)
    probe.set_contacts(np.array(signal.positions_um), shapes="circle", shape_params={"radius": 6})
    probe.set_device_channel_indices(np.arange(signal.channels))
    recording.set_probe(probe, in_place=True)
    return recording


def spikeinterface_chain(data: np.ndarray, signal: SampleFormat, kind: str) -> Callable[[], Any]:
    """Return SpikeInterface's band-pass, common reference and locally exclusive detection, lazily chained, in chunks of 1 s.

    Its estimate of the noise is made beforehand and costs nothing here.
    """
    from spikeinterface.core import get_noise_levels
    from spikeinterface.preprocessing import bandpass_filter, common_reference
    from spikeinterface.sortingcomponents.peak_detection import detect_peaks

    warnings.simplefilter("ignore")
    operator = {"mean": "average", "median": "median"}[kind]
    filtered = bandpass_filter(as_spikeinterface(data, signal), freq_min=LOW_HZ, freq_max=HIGH_HZ, filter_order=ORDER)
    referred = common_reference(filtered, reference="global", operator=operator)
    settings = {
        "peak_sign": "neg",
        "detect_threshold": THRESHOLD,
        "exclude_sweep_ms": SWEEP_MS,
        "radius_um": RADIUS_UM,
        "noise_levels": get_noise_levels(referred, return_in_uV=False, progress_bar=False),
    }
    job = {"n_jobs": 1, "chunk_duration": "1s", "progress_bar": False}
    return lambda: detect_peaks(referred, method="locally_exclusive", method_kwargs=settings, job_kwargs=job)
