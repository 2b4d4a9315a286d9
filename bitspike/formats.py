"""What a chain shall be designed for: the format of a recording, of the one that it was trained on, or what a person says."""

from __future__ import annotations

from typing import Any

from bitspike.runs import Run
from pipeline.blocks import EventFormat, SampleFormat
from pipeline.chain import ChainPlan
from pipeline.errors import BitspikeError

CHANNELS, RATE_HZ = 64, 24_000.0  # where nothing is said
SENSOR = EventFormat(640, 480, 15.0)
PIXELS = ("width", "height")
SAID = ("rate_hz", "channels", "uv_per_count", "bits")  # of the facts about a recording, those that are of its format


def said_format(plan: ChainPlan, facts: dict[str, Any]) -> Any:
    """Return the format that a person describes by some of `SAID`; the rest is usual, the channels as many as the chain takes.

    For a chain that takes events it is that of a camera of `width` x `height` pixels, 640 x 480 unless they are said.
    """
    require_of_sensor(plan, facts)
    if plan.sensor == "events":
        return SENSOR.with_(**{name: facts[name] for name in PIXELS if name in facts})
    given: dict[str, Any] = {"rate_hz": RATE_HZ, "channels": plan.max_channels or CHANNELS}
    return SampleFormat(**given | {name: facts[name] for name in SAID if name in facts})


def require_of_sensor(plan: ChainPlan, facts: dict[str, Any]) -> None:
    """Refuse what is said of the other kind of sensor than the chain's."""
    events = plan.sensor == "events"
    strange = [name for name in facts if (name in PIXELS) != events]
    if strange:
        kind, cure = ("an event camera", "--width and --height") if events else ("electrodes", "--rate and --channels")
        raise BitspikeError(f"{strange[0]}: the chain {plan.name} is of {kind}, which has none; leave it out, or say {cure}")


def trained_format(run: Run) -> SampleFormat:
    """Return the format of the recording that a run is of."""
    about = run.manifest.recording
    sites = tuple((float(x), float(y)) for x, y in about["positions_um"])
    return SampleFormat(about["rate_hz"], about["channels"], about["uv_per_count"], about["bits"], sites, tuple(about["groups"]))
