"""C of a whole chain of events, with the decoder of the camera's words before it, and the image of its tables; see `generate`."""

from __future__ import annotations

from firmware.decoding import MOST, WORD, state_layout, tables_for
from firmware.event_glue import event_calls
from firmware.generate import Generated
from firmware.glue import TIMES, Array, Call, Output
from firmware.initialisers import initialiser
from firmware.tables import image_bytes
from pipeline.capacity import Capacity
from pipeline.chain import Chain, Step
from pipeline.errors import BitspikeError

MOST_EVENTS = 65_536  # of a block


class GeneratedEvents(Generated):
    """What is generated for a chain of events.

    Parameters
    ----------
    chain : Chain
        On the host, laid out for `capacity`; see `room.laid_chain`.
    capacity : Capacity
        What the library must be compiled for at the least.
    events : int
        The longest block that the chain shall take.
    decoder : str
        What the camera sends, one of `decoding.DECODERS`.

    Attributes
    ----------
    decoder : str
        As given.
    decoder_tables : numpy.ndarray
        Its tables.

    Raises
    ------
    BitspikeError
        A label is no name in C, or a stage does not say how it is called.
    """

    output_type, output_bytes = "bs_event_output", 40

    def __init__(self, chain: Chain, capacity: Capacity, events: int = 256, decoder: str = "evt3") -> None:
        if not MOST[decoder] <= events <= MOST_EVENTS:
            raise BitspikeError(f"events: {events}; choose {MOST[decoder]} to {MOST_EVENTS}, of which a block may have as many")
        self.decoder, self.decoder_tables = decoder, tables_for(chain.signal)
        super().__init__(chain, capacity, events)

    def files(self) -> dict[str, bytes]:
        """Return the header, the source and the image by file name."""
        files = super().files()
        files[f"{self.name}.bin"] = image_bytes(self.chain, self.capacity, {(self.decoder, "decoder"): self.decoder_tables})
        return files

    def columns(self, output: Output) -> dict[str, tuple[str, int]]:
        """Return the arrays of an output as an application hands them out."""
        kinds = {"t": ("<i8", 1), "x": ("<u2", 1), "y": ("<u2", 1), "p": ("u1", 1)}
        return kinds | {"records": ("<i4", output.each("records")), "tensors": ("u1", output.each("tensors"))}

    def decoder_bytes(self) -> int:
        """Return the RAM of the decoder's state."""
        return state_layout(self.decoder).itemsize

    def word_bytes(self) -> int:
        """Return the bytes of one of the camera's words."""
        return WORD[self.decoder]

    def _lay(self, steps: list[Step], frames: int, spikes: int) -> list[Call]:
        found, self._decoded = event_calls(self.chain, steps, frames, self.kept)
        return found

    def _arrays(self) -> list[Array]:
        return [*super()._arrays(), *self._decoded.values()]

    def _made_for(self) -> str:
        return f"{self.chain.signal.width} x {self.chain.signal.height} pixels"

    def _stages(self) -> list[str]:
        return sorted({*super()._stages(), self.decoder})

    def _sizes(self) -> list[str]:
        signal, own = self.chain.signal, self.name.upper()
        return [
            f"#define {own}_WIDTH {signal.width}",
            f"#define {own}_HEIGHT {signal.height}",
            f"#define {own}_EVENTS {self.frames} /* of a block, at most */",
            f"#define {own}_WORD {self.word_bytes()} /* bytes of the camera's words */",
        ]

    def _externs(self) -> list[str]:
        return [f"extern const bs_{self.decoder}_tables {self.name}_decoder;", *super()._externs()]

    def _members(self) -> list[str]:
        return [
            f"    bs_{self.decoder}_state decoder;",
            *[f"    bs_{call.running.name}_state {call.label};" for call in self.calls],
            "    uint32_t failed; /* the step that refused its tables or a block, counted from 1, the decoder 0; 0: none has */",
        ]

    def _prototypes(self) -> list[str]:
        name = self.name
        return [
            "/* Forgets the signal, but not what was learned of it: events were lost. */",
            f"void {name}_gap({name} *chain);",
            "",
            "/* Takes bytes that the camera sends, cut anywhere, as many as make a block, and fills chain->output. Returns how",
            " * many they were, so that the others can be given next; or a negative reason. */",
            f"int32_t {name}_decode({name} *chain, const uint8_t *bytes, uint32_t count);",
            "",
            "/* Takes decoded events: t in microseconds, ascending, places and polarity; `stop`: the low 32 bits of the time that",
            " * they reach up to. Fills chain->output; returns 0, or a negative reason. */",
            f"{self._signature()};",
        ]

    def _signature(self) -> str:
        columns = "const int64_t *t, const uint16_t *x, const uint16_t *y, const uint8_t *p"
        return f"int32_t {self.name}_process({self.name} *chain, {columns},\n    uint32_t events, uint32_t stop)"

    def _tables(self) -> list[str]:
        return [
            f"const bs_{self.decoder}_tables {self.name}_decoder = {initialiser(self.decoder_tables)};\n",
            *super()._tables(),
        ]

    def _first_init(self) -> list[str]:
        return [
            f"    result = bs_{self.decoder}_init(&{self.name}_decoder, &chain->decoder);",
            "    if (result != 0) {",
            "        return result;",
            "    }",
        ]

    def _gap(self) -> str:
        """Return the function that clears what does not survive a gap; the decoder's clock goes on."""
        return "\n".join([f"void {self.name}_gap({self.name} *chain)", "{", *self._cleared(), "}", ""])

    def _process(self) -> str:
        big = self.name.upper()
        lines = [self._signature(), "{", "    int32_t result;"]
        lines += [f"    if (events > {big}_EVENTS) {{", "        return BS_TOO_LONG;", "    }"]
        used = {argument for call in self.calls for argument in call.arguments if isinstance(argument, str)}
        used |= {call.output.count for call in self.kept_calls()}
        for number, call in enumerate(self.calls, 1):
            lines += self._called(number, call)
            if call.output.count in used:
                lines.append(f"    const uint32_t {call.output.count} = (uint32_t)result;")
        if "stop" not in used:
            lines.append("    (void)stop;")
        lines += [f"    chain->output[{big}_{call.label.upper()}] = {_output(call)};" for call in self.kept_calls()]
        return "\n".join([*lines, "    return 0;", "}", "", *self._decode()])

    def _decode(self) -> list[str]:
        big, name = self.name.upper(), self.decoder
        t, x, y, p = (self._decoded[column].text for column in ("t", "x", "y", "p"))
        return [
            f"int32_t {self.name}_decode({self.name} *chain, const uint8_t *bytes, uint32_t count)",
            "{",
            "    uint32_t taken;",
            f"    int32_t result = bs_{name}_process(&{self.name}_decoder, &chain->decoder, bytes,",
            f"        {t}, {x}, {y}, {p},",
            f"        &taken, count, {big}_EVENTS, 0);",
            "    if (result < 0) {",
            "        return result;",
            "    }",
            f"    result = {self.name}_process(chain, {t}, {x}, {y}, {p},",
            f"        (uint32_t)result, bs_{name}_clock(&chain->decoder));",
            "    return result < 0 ? result : (int32_t)taken;",
            "}",
            "",
        ]

    def _kinds(self) -> tuple[str, ...]:
        return (TIMES, *super()._kinds())


def _output(call: Call) -> str:
    """Return the `bs_event_output` of a step."""
    output = call.output
    fields = [f".count = {output.count}", ".stop = stop"]
    fields += [f".{name} = {part.text}" for name, part in output.parts.items() if isinstance(part, Array)]
    if "tensors" in output.parts:
        fields += [f".{name}_length = {output.each(name)}" for name in ("records", "tensors")]
    return f"(bs_event_output){{{', '.join(fields)}}}"
