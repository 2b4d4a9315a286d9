"""Simulate a cytometer whose particles are known, find them block by block as a live camera would, and score a replay of the same.

python examples/05_particles.py [FOLDER]
"""

import sys
from pathlib import Path

import bitspike

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-05")
made = bitspike.simulate_cytometry(folder / "recording", seconds=0.06, rate=250, seed=7, overwrite=True)
print(f"{len(made.truth)} particles pass, and make {made.events:,} events")

recording = bitspike.open_events(made.recording)
chain = bitspike.read_chain("cytometry").build(recording.format)
count = 0
for block in recording.blocks(1000):  # 1 ms
    found = chain.process(block)["tracker"]
    for i in range(len(found)):
        count += 1
        if count <= 5:
            late, kind = found.closed_us[i] - found.last_us[i], "doublet" if found.flags[i] & bitspike.DOUBLET else "single "
            print(f"{found.last_us[i] / 1000:7.2f} ms  {kind}  {found.events[i].sum():6,} events, known {late} us after the last")
count += len(chain.finish()["tracker"])

run = bitspike.replay_events(made.recording, chain="cytometry", out=folder / "run")  # the same, into a folder
assert count == len(run.particles)
result = bitspike.score_particles(run)
print(f"{result.found} of {result.particles} particles found, {result.false} false, {result.split} split")
