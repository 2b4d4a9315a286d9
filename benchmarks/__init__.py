"""Benchmarks: speed, accuracy, memory and start-up, beside other software on the same data in the same run.

Everything runs on one thread: the numerical libraries are told so here, before any of them is imported.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"
