"""The simulated cytometer as a stream: blocks of events in order of time, and the truth about the particles that made them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.blocks import EventFormat, Events
from sensors.cytometry.arbiter import OUT, arbiter_state
from sensors.cytometry.flow import draw_arrivals
from sensors.cytometry.holograms import LEVELS, HologramBank, illumination
from sensors.cytometry.parameters import CytometerParameters
from sensors.cytometry.pixel import LAG_STEPS, NORMALS, busy, idle, make_pixels
from sensors.cytometry.runs import NOISE, SENSOR, draw_conditions, generator, under
from sensors.cytometry.truth import ParticleTruth, overlapping

FAINT_BEAM = 0.03  # amplitude of the beam below which a particle is not lit
SETTLING = 36  # particles that pass one by one before the recording begins: the pixels' memories get used to them
BUSY_US, IDLE_US = 1000, 5000  # longest stretches that are simulated at a time
SLOWEST = 0.05  # speed of a particle beside the wall, over that in the middle
NOBODY = -1  # cause of noise


class CytometerSimulator:
    """One recording. What it holds depends on the parameters only.

    Particles are lit within about two beam radii of the axis; only then, and only within their reach, are pixels followed in time
    steps. Everywhere else noise and leakage are drawn. Particles add their light to each other without interfering (their mutual
    fringes move several pixels in a photoreceptor's time constant).

    Parameters
    ----------
    parameters : CytometerParameters
        What is to be simulated.

    Attributes
    ----------
    given : CytometerParameters
        As they were given.
    run : RunConditions
        What was drawn for the run.
    parameters : CytometerParameters
        As they are under these conditions.
    """

    def __init__(self, parameters: CytometerParameters) -> None:
        self.given = parameters
        self.run = draw_conditions(parameters)
        self.parameters = now = under(parameters, self.run)
        self._light = illumination(now)
        margin = self._lit_us(SLOWEST * now.channel.speed_m_s)
        apart = 2.5 * self._lit_us(now.channel.speed_m_s)
        settling = -margin - apart * np.arange(SETTLING if now.rate > 0 else 0, 0, -1)
        self.arrivals = draw_arrivals(now, self.run, margin, settling)
        self._made = np.zeros((len(self.arrivals) + 1, 2), np.int64)
        self._place()

    @property
    def format(self) -> EventFormat:
        """What the events' numbers mean."""
        pixel = self.parameters.pixel
        return EventFormat(pixel.width, pixel.height, pixel.pitch_um)

    @property
    def stop_us(self) -> int:
        """End of the recording."""
        return round(1e6 * self.parameters.seconds)

    def blocks(self, block_us: int = 10_000) -> Iterator[Events]:
        """Make the events: blocks of `block_us` microseconds; their length does not change what is in them."""
        for events, _ in self.labelled_blocks(block_us):
            yield events

    def labelled_blocks(self, block_us: int = 10_000) -> Iterator[tuple[Events, np.ndarray]]:
        """Make the events, and say of each which particle made it.

        Yields
        ------
        Events
            A block.
        numpy.ndarray
            int32 [events]: the particle's row in the truth, `NOBODY` for noise, or -2 for a particle that the truth leaves out.
        """
        told = self._told()
        row = np.full(len(self.arrivals) + 1, -2, np.int32)
        row[-1] = NOBODY
        row[:-1][told] = np.arange(told.sum())
        self._made[:] = 0
        start, kept = 0, tuple(column[:0] for column in _columns(1))
        for reached, columns in self._slices():
            kept = tuple(np.concatenate(pair) for pair in zip(kept, columns, strict=True))
            while start < self.stop_us and reached >= min(start + block_us, self.stop_us):
                stop = min(start + block_us, self.stop_us)
                first, last = np.searchsorted(kept[0], (start, stop))
                t, x, y, p, cause = (column[first:last] for column in kept)
                made = np.bincount(2 * (cause % len(self._made)) + p, minlength=self._made.size)
                self._made += made.reshape(self._made.shape)
                yield Events(start, stop, t, x, y, p), row[cause]
                kept, start = tuple(column[last:] for column in kept), stop

    def truth(self) -> ParticleTruth:
        """Return the truth; its counts of events are those of the blocks that were made."""
        all_, told = self.arrivals, self._told()
        enter, leave = self._passage()
        made = self._made[:-1][told]
        index = np.array([c.index for c in self.parameters.classes])
        return ParticleTruth(
            kind=all_.kind[told],
            diameter_um=all_.diameter_um[told],
            index=index[all_.kind[told]],
            enter_us=enter[told],
            exit_us=leave[told],
            centre_us=all_.centre_us[told],
            speed_m_s=all_.speed[told],
            y_um=all_.y_um[told],
            z_um=all_.z_um[told],
            x_px=np.full(int(told.sum()), self._light.axis[0]),
            y_px=self._row[told],
            speed_px_us=self._speed[told],
            overlap=overlapping(enter, leave)[told],
            on=made[:, 1],
            off=made[:, 0],
        )

    def _lit_us(self, speed: Any) -> Any:
        """Time from the moment a particle is first lit until it is on the axis."""
        return self.parameters.optics.beam_um * math.sqrt(-math.log(FAINT_BEAM)) / speed

    def _place(self) -> None:
        """Work out each particle's way over the sensor: a magnification that depends on its depth, and a straight line."""
        optics, pixel, all_ = self.parameters.optics, self.parameters.pixel, self.arrivals
        enlarged = (optics.source_mm + optics.sensor_mm) / (optics.source_mm + all_.z_um / 1000) / pixel.pitch_um
        self._speed = all_.speed * enlarged
        self._row = self._light.axis[1] + all_.y_um * enlarged
        self._spot = optics.beam_um * enlarged
        self._beside = np.exp(-((all_.y_um / optics.beam_um) ** 2)).astype(np.float32)
        step, lit = self.parameters.step_us, self._lit_us(all_.speed)
        self._begins = np.floor((all_.centre_us - lit) / step).astype(np.int64)
        self._ends = np.ceil((all_.centre_us + lit) / step).astype(np.int64) + LAG_STEPS

    def _passage(self) -> tuple[np.ndarray, np.ndarray]:
        half = self.parameters.optics.beam_um / self.arrivals.speed
        centre = self.arrivals.centre_us
        return np.ceil(centre - half).astype(np.int64), np.floor(centre + half).astype(np.int64)

    def _told(self) -> np.ndarray:
        enter, leave = self._passage()
        return (leave >= 0) & (enter < self.stop_us)

    def _slices(self) -> Iterator[tuple[int, tuple[np.ndarray, ...]]]:
        """Simulate stretch by stretch; yield the time reached and the columns t_us, x, y, p and cause."""
        now, light = self.parameters, self._light
        pixel, arbiter, step_us = now.pixel, now.arbiter, now.step_us
        pixels = make_pixels(now)
        bank, slots = HologramBank(now), _Slots()
        readout = tuple(arbiter_state(pixel.width, pixel.height).values())
        normals = generator(now, SENSOR, 1).standard_normal(NORMALS, np.float32)
        times = (arbiter.row_ns / 1000, arbiter.event_ns / 1000, arbiter.jitter_us, pixel.refractory_us)
        settings = (*times, np.float32(pixel.jitter), pixel.width)
        seed = int(generator(now, NOISE, 1).integers(1 << 62))
        out = _columns(pixel.width * pixel.height)
        likely = np.cumsum(pixels.noise_hz)
        taus = (pixel.response_us * light.stray / step_us, pixel.fastest_us / step_us)
        scene = (light.across, light.down, np.float32(light.stray), light.axis[0], *(np.float32(tau) for tau in taus))
        order = np.argsort(self._begins, kind="stable")
        step = int(min(0, self._begins.min(initial=0)))
        last, following, part = -(-self.stop_us // step_us) + 1, 0, 2
        lit: list[int] = []
        while step < last:
            lit = [i for i in lit if self._ends[i] > step]
            while following < len(order) and self._begins[order[following]] <= step:
                lit.append(int(order[following]))
                following += 1
            next_ = int(self._begins[order[following]]) if following < len(order) else last
            stop = min(next_, last, step + (BUSY_US if lit else IDLE_US) // step_us)
            noise = _noise(generator(now, NOISE, part), likely, step * step_us, stop * step_us)
            part += 1
            if lit:
                tables, places = slots.hold(lit, bank, self, step_us)
                stop = max(stop, step + 1)
                moves = (*places, *(column[lit] for column in self._moves()))
                busy(
                    step, stop - step, float(step_us), noise, tables, bank.half, moves, scene, pixels.state, pixels.leak,
                    readout, normals, settings, seed, out,
                )  # fmt: skip
            else:
                pixels.level[:] = 0
                idle(
                    float(step * step_us), float(stop * step_us), noise, pixels.state, pixels.leak, readout, normals, settings,
                    seed, out,
                )  # fmt: skip
            made = int(readout[1][OUT])
            readout[1][OUT] = 0
            step = stop
            yield step * step_us, tuple(column[:made].copy() for column in out)

    def _moves(self) -> tuple[np.ndarray, ...]:
        column0 = self._light.axis[0] - self._speed * self.arrivals.centre_us
        return np.arange(len(self.arrivals)), self._begins, self._ends, column0, self._speed, self._row, self._beside, self._spot


class _Slots:
    """Memory for the tables of the particles that are lit at the same time."""

    def __init__(self) -> None:
        self._tables = np.empty((0, 2, 1, 1), np.float32)
        self._reach = np.empty((0, LEVELS + 1), np.float32)
        self._holds: list[int] = []

    def hold(
        self, lit: list[int], bank: HologramBank, simulator: CytometerSimulator, step_us: int
    ) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Return all tables, and the slot and reach of each lit particle; those that are new are filled."""
        if len(self._holds) < len(lit):
            more = 2 * len(lit)
            tables = np.empty((more, 2, simulator.parameters.pixel.height, 2 * bank.half + 2), np.float32)
            reach = np.empty((more, LEVELS + 1), np.float32)
            tables[: len(self._holds)] = self._tables
            reach[: len(self._holds)] = self._reach
            self._tables, self._reach = tables, reach
            self._holds += [NOBODY] * (more - len(self._holds))
        free = [slot for slot, holder in enumerate(self._holds) if holder not in lit]
        for particle in lit:
            if particle not in self._holds:
                slot, all_ = free.pop(), simulator.arrivals
                self._holds[slot] = particle
                travel = float(simulator._speed[particle] * step_us)
                self._reach[slot] = bank.table(
                    int(all_.kind[particle]), float(all_.diameter_um[particle]), float(simulator._row[particle]), travel,
                    self._tables[slot],
                )  # fmt: skip
        slots = np.array([self._holds.index(particle) for particle in lit])
        return self._tables, (slots, self._reach[slots])


def _columns(room: int) -> tuple[np.ndarray, ...]:
    kinds = (np.int64, np.uint16, np.uint16, np.uint8, np.int32)
    return tuple(np.empty(room, kind) for kind in kinds)


def _noise(rng: np.random.Generator, likely: np.ndarray, start: float, stop: float) -> tuple[np.ndarray, ...]:
    """Draw noise events of both polarities from Poisson processes whose rates in hertz have the cumulative sum `likely`."""
    total = likely[-1]
    count = int(rng.poisson(total * (stop - start) / 1e6))
    t = np.sort(rng.uniform(start, stop, count))
    where = np.minimum(np.searchsorted(likely, rng.uniform(0, total, count), side="right"), len(likely) - 1).astype(np.int32)
    return t, where, rng.integers(0, 2, count, np.uint8), np.full(count, NOBODY, np.int32)
