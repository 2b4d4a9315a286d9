"""Train the sorter on one stretch of a recording, and use what it learned on another: templates are tables.

python examples/03_train_once.py [FOLDER]
"""

import sys
from pathlib import Path

import bitspike

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-03")
recording = bitspike.simulate(folder / "recording", channels=8, seconds=24, units=4, layout="tetrodes", seed=2, overwrite=True)

trained = bitspike.train(recording, chain="probe", out=folder / "trained", stop_s=12)
print(f"learned {int(trained.tables['sorter']['units'])} units from the first 12 s")

run = bitspike.replay(recording, chain="probe", out=folder / "run", start_s=12, trained=trained)
for unit in run.units:
    print(f"unit {unit.unit}: channel {unit.channel}, {unit.spikes} spikes")
