"""Hand a result on: SpikeInterface reads a run, and Phy and NWB files are written from it.

python examples/04_spikeinterface.py [FOLDER]
"""

import sys
from pathlib import Path

import bitspike

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-04")
recording = bitspike.simulate(folder / "recording", channels=8, seconds=10, units=4, layout="tetrodes", seed=4, overwrite=True)
run = bitspike.replay(recording, chain="probe", out=folder / "run")

sorting = bitspike.read_sorting(run)
print(f"SpikeInterface sees {len(sorting.unit_ids)} units at {sorting.sampling_frequency:g} Hz")
print("Phy opens", bitspike.export_phy(run, folder / "phy"))
print("NWB is in", bitspike.export_nwb(run, folder / "result.nwb"))
