"""Write a chain of one's own, and run it block by block, as a live system would.

python examples/02_own_chain.py [FOLDER]
"""

import sys
from pathlib import Path

import bitspike

CHAIN = """
name = "mine"

[sensor]
kind = "electrodes"

[[stage]]
name = "bandpass"
label = "spike_band"
low_hz = 400
high_hz = 5000
order = 3

[[stage]]
name = "energy"          # the non-linear energy operator instead of a threshold

[[stage]]
name = "exclusion"       # one spike per event, not one per channel that sees it
radius_um = 60
"""

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/example-02")
recording = bitspike.simulate(folder / "recording", channels=8, seconds=5, units=3, seed=1, overwrite=True)

chain = bitspike.parse_chain(CHAIN).build(recording.format)
print(f"a spike is known {chain.latency / recording.format.rate_hz * 1000:.1f} ms after its peak at the latest")

count = 0
for block in recording.blocks(24):  # 1 ms
    spikes = chain.process(block)["exclusion"]
    for sample, channel in zip(spikes.sample, spikes.channel, strict=True):
        count += 1
        if count <= 5:
            print(f"{sample / recording.format.rate_hz * 1000:9.3f} ms  channel {channel}")
count += len(chain.finish()["exclusion"])
print(f"{count} spikes")
