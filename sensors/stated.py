"""What a person, or a small JSON file beside the recording, states about samples whose file does not say it."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pipeline.blocks import LEAST_RATE_HZ, MOST_BITS, MOST_CHANNELS, MOST_RATE_HZ, SampleFormat
from pipeline.errors import BitspikeError

UNITS_UV = {"V": 1e6, "mV": 1e3, "uV": 1.0}  # microvolts in one
NUMBERS = {"rate_hz": (LEAST_RATE_HZ, MOST_RATE_HZ), "uv_per_count": (1e-9, 1e9)}
WHOLE_NUMBERS = {
    "channels": (1, MOST_CHANNELS),
    "bits": (1, MOST_BITS),
    "skip_bytes": (0, (1 << 63) - 1),
    "segment": (0, (1 << 31) - 1),
    "offset": (-(1 << 31), (1 << 32) - 1),  # any integer of 32 bits, signed or not
}


@dataclass(frozen=True)
class Stated:
    """Facts about a recording; None where nothing is stated.

    Attributes
    ----------
    rate_hz : float
        Frames per second.
    channels : int
        Interleaved channels.
    dtype : str
        NumPy name of the stored samples, such as "int16", ">i2" or "float32".
    offset : int
        Counts to subtract from every stored sample, such as 2048 for a 12-bit offset-binary converter.
    skip_bytes : int
        Bytes of header before the first sample.
    uv_per_count : float
        Microvolts of one count: of the stored count where integers are stored, of the int16 count to make where floats are.
    bits : int
        Significant bits of the samples, after `offset` is subtracted.
    unit : str
        "V", "mV" or "uV": what stored floats are in.
    positions_um : tuple of (float, float)
        Electrode sites.
    groups : tuple of int
        Channel groups.
    stream : str
        Which stream of a file with several.
    segment : int
        Which segment of a file with several.
    reader : str
        SpikeInterface extractor to use, by its name.
    """

    rate_hz: float | None = None
    channels: int | None = None
    dtype: str | None = None
    offset: int | None = None
    skip_bytes: int | None = None
    uv_per_count: float | None = None
    bits: int | None = None
    unit: str | None = None
    positions_um: tuple[tuple[float, float], ...] | None = None
    groups: tuple[int, ...] | None = None
    stream: str | None = None
    segment: int | None = None
    reader: str | None = None

    def __post_init__(self) -> None:
        for name, (least, most) in NUMBERS.items():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and least <= value <= most):
                raise BitspikeError(f"{name}: {value!r} is not a number from {least:g} to {most:g}")
        for name, (least, most) in WHOLE_NUMBERS.items():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and not isinstance(value, bool) and least <= value <= most):
                raise BitspikeError(f"{name}: {value!r} is not a whole number from {least} to {most}")
        if self.unit is not None and self.unit not in UNITS_UV:
            raise BitspikeError(f"unit: {self.unit!r}; choose one of {', '.join(UNITS_UV)}")

    def with_facts(self, path: Path, source: str, **known: Any) -> Stated:
        """Return these statements with what `source` knows added.

        Raises
        ------
        BitspikeError
            Something is stated otherwise than `source` knows it.
        """
        added = {}
        for name, value in known.items():
            given = getattr(self, name)
            if value is None:
                continue
            if given is not None and not _agree(given, value):
                raise BitspikeError(
                    f"{path}: {name} is {value} by {source}, and {given} was given; leave {name} out or mend {source}"
                )
            added[name] = value
        return replace(self, **added)

    def need(self, path: Path, name: str, option: str) -> Any:
        """Return a fact that the file cannot do without.

        Raises
        ------
        BitspikeError
            It is not stated; `option` is how the command line states it.
        """
        value = getattr(self, name)
        if value is None:
            raise BitspikeError(f"{path}: {name} is not known from the file; give {option} ({name}=...), or an info.json beside it")
        return value

    def signal(self, path: Path, uv_per_count: float | None = None) -> SampleFormat:
        """Return the format these facts make; `uv_per_count` where it is not the stated one."""
        uv = self.uv_per_count if uv_per_count is None else uv_per_count
        try:
            return SampleFormat(
                rate_hz=float(self.need(path, "rate_hz", "--rate HZ")),
                channels=self.need(path, "channels", "--channels N"),
                uv_per_count=float(uv or 0.0),
                bits=16 if self.bits is None else self.bits,
                positions_um=self.positions_um or (),
                groups=self.groups or (),
            )
        except BitspikeError as error:
            raise error if str(error).startswith(str(path)) else BitspikeError(f"{path}: {error}") from None


def _agree(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return bool(abs(one - other) <= 1e-6 * abs(other))
    return bool(one == other)


def read_sidecar(path: Path, stated: Stated) -> Stated:
    """Add what ``<name>.json`` or ``info.json`` beside `path` says; return `stated` as it is where there is neither.

    The fields are those of `Stated`, and those of the tridesclous data sets: ``sample_rate``, ``shape`` (-1, channels), ``dtype``.

    Raises
    ------
    BitspikeError
        The JSON is damaged, or says otherwise than what was given.
    """
    for sidecar in (path.with_suffix(".json"), path.parent / "info.json"):
        if sidecar.is_file():
            return stated.with_facts(path, sidecar.name, **facts(sidecar))
    return stated


def facts(sidecar: Path) -> dict[str, Any]:
    """Return the fields of `Stated` that a JSON file holds; fields it does not know are other programs' and are left alone."""
    try:
        document = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BitspikeError(f"{sidecar}: not readable as JSON ({error}); mend or remove it") from error
    if not isinstance(document, dict):
        raise BitspikeError(f"{sidecar}: holds no JSON object; mend or remove it")
    known = {f.name: document[f.name] for f in fields(Stated) if document.get(f.name) is not None}
    if "sample_rate" in document:
        known.setdefault("rate_hz", document["sample_rate"])
    shape = document.get("shape")
    if shape is not None:
        if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) for n in shape)):
            raise BitspikeError(f"{sidecar}: shape = {shape!r}; write [-1, channels] or [frames, channels]")
        known.setdefault("channels", shape[1])
    if known.get("positions_um"):
        known["positions_um"] = tuple((float(x), float(y)) for x, y in known["positions_um"])
    if known.get("groups"):
        known["groups"] = tuple(int(g) for g in known["groups"])
    return known
