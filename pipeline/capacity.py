"""What tables and states are laid out for: the most of everything there can be."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Capacity:
    """The most of everything. The C library is compiled for one: the field ``x`` is its macro ``BS_MAX_X``.

    A stage states what it needs; what it does not use stays 0. The host lays out exactly that, a compiled library what it was
    compiled for. What a stage does depends on its parameters alone, never on the room that there is.

    Attributes
    ----------
    channels : int
        Of the recording.
    neighbours : int
        Channels of one sorted spike.
    template_frames, feature_frames : int
        Extent of a unit's template, and of the part of it that features are made of.
    features : int
        Of one sorted spike.
    clusters : int
        Of one channel.
    units : int
        Of the recording.
    candidates : int
        Units whose templates reach one channel.
    held_frames : int
        Frames of the signal that the sorter holds, a power of two.
    waiting_spikes : int
        Spikes that may wait for the sorter's decision.
    columns, rows : int
        Pixels of the event camera.
    tracks : int
        Particles that are followed at a time.
    tensor_bytes : int
        What a classifier is given of one particle.
    """

    channels: int = 0
    neighbours: int = 0
    template_frames: int = 0
    feature_frames: int = 0
    features: int = 0
    clusters: int = 0
    units: int = 0
    candidates: int = 0
    held_frames: int = 0
    waiting_spikes: int = 0
    columns: int = 0
    rows: int = 0
    tracks: int = 0
    tensor_bytes: int = 0

    def limits(self) -> dict[str, int]:
        """Return every limit by name, in order."""
        return asdict(self)

    def lacks(self, needed: Capacity) -> str | None:
        """Return the name of the first limit that is below what is needed, or None."""
        mine = self.limits()
        return next((name for name, least in needed.limits().items() if least > mine[name]), None)


def triangle(features: int) -> int:
    """Return the entries of a symmetric matrix: those on and below the diagonal."""
    return features * (features + 1) // 2
