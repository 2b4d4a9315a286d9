"""Detection against the truth of a simulated recording."""

from __future__ import annotations

import numpy as np

from bitspike.scoring import DETECTION_MS, GOOD_SNR, Detection, channels_in_reach, score_detection
from pipeline.blocks import SampleFormat
from sensors.truth import Truth

RADIUS_UM = 100.0


def count(truth: Truth, signal: SampleFormat, sample: np.ndarray, channel: np.ndarray) -> Detection:
    """Count for the units of SNR 5 and above; `sample` ascending.

    A true spike is found if there is a detection within 0.5 ms of it on a channel within 100 um of its unit's best channel, of the
    same group; a detection is false if no true spike of any unit is that near to it.
    """
    reach, tolerance = channels_in_reach(signal, RADIUS_UM), int(DETECTION_MS / 1000 * signal.rate_hz)
    return score_detection(truth, truth.snr >= GOOD_SNR, sample, channel, reach, tolerance)
