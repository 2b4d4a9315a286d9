"""Simulate a recording whose spikes are known, replay it through a packaged chain, and score the result.

python examples/01_replay_and_score.py [FOLDER]
"""

import sys
from pathlib import Path

import bitspike

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-01")

recording = bitspike.simulate(folder / "recording", channels=16, seconds=20, units=6, layout="tetrodes", seed=3, overwrite=True)
run = bitspike.replay(recording, chain="psoc68", out=folder / "run")
print(f"{len(run.spikes)} spikes of {len(run.units)} units in {run.seconds:.0f} s")

result = bitspike.score(run, recording.truth)
print(f"detection F1 {result.detection.f1:.3f}, sorting accuracy {result.accuracy:.3f}")
