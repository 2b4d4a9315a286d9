"""Compiles the C library for an emulated core or, for tests, for this machine; what was built once is kept.

Built files lie in a cache folder (``$BITSPIKE_CACHE``, or ``bitspike`` in the user's cache folder) under a hash of every source,
header and flag, so that a change of any of them builds anew and two programs that build at once do not disturb each other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.capacity import Capacity
from pipeline.errors import BitspikeError, MissingExtraError

ROOT = Path(__file__).parent
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror")
COMMON = ("-std=c11", *WARNINGS)
# What ``config.h`` makes room for.
USUAL = Capacity(
    channels=68, neighbours=12, template_frames=96, feature_frames=64, features=8, clusters=8, units=544, candidates=32,
    held_frames=512, waiting_spikes=256, columns=64, rows=48, tracks=8, tensor_bytes=768,
)  # fmt: skip
ALONE = ("-g", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-fomit-frame-pointer")


@dataclass(frozen=True)
class Core:
    """How to compile for one kind of processor core.

    Attributes
    ----------
    zig : tuple of str
        Flags of ``zig cc``.
    gcc : tuple of str
        Names of the cross gcc, the first that is on the path is taken.
    gcc_flags : tuple of str
        Its flags.
    """

    zig: tuple[str, ...]
    gcc: tuple[str, ...]
    gcc_flags: tuple[str, ...]


CORES = {
    "cortex-m4": Core(
        zig=("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4"),
        gcc=("arm-none-eabi-gcc",),
        gcc_flags=("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft"),
    ),
    "rv32imc": Core(
        zig=("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+c"),
        gcc=("riscv64-unknown-elf-gcc", "riscv32-unknown-elf-gcc"),
        gcc_flags=("-march=rv32imc", "-mabi=ilp32"),
    ),
}


def cache_folder() -> Path:
    """Return the folder for built files, made if need be."""
    base = os.environ.get("BITSPIKE_CACHE")
    folder = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bitspike"
    folder = folder / "firmware"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BitspikeError(f"{folder}: cannot be made ({error.strerror}); set BITSPIKE_CACHE to a folder that can") from None
    return folder


def sources(root: Path = ROOT) -> list[Path]:
    """Return the library's C files in order."""
    return sorted((root / "src").glob("*.c"))


def zig() -> list[str]:
    """Return the command of the C compiler that comes from PyPI."""
    if importlib.util.find_spec("ziglang") is None:
        raise MissingExtraError("compiling the firmware", "firmware")
    return [sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=all"]


def room_for(room: Capacity | int) -> Capacity:
    """Return the capacity for so many channels, with the room for all else that ``config.h`` gives; a capacity as it is."""
    return room if isinstance(room, Capacity) else replace(USUAL, channels=room, units=USUAL.clusters * room)


def image(core: str, room: Capacity | int, toolchain: str = "zig", optimise: str = "-O2", root: Path = ROOT) -> Path:
    """Return the ELF image of the library for a core, built if it was not.

    Parameters
    ----------
    core : str
        A key of `CORES`.
    room : Capacity or int
        The macros ``BS_MAX_...``; a number is that of the channels, with the usual room for all else.
    toolchain : str
        ``"zig"``, or ``"gcc"`` for the core's cross gcc on the path.
    optimise : str
        ``-O0`` to ``-O3`` or ``-Os``.
    root : pathlib.Path
        The firmware folder.

    Raises
    ------
    BitspikeError
        There is no such core or compiler, or the sources do not compile.
    """
    command, libraries = compiler(core, toolchain)
    script = root / "image" / "emulated.ld"
    flags = [*ALONE, f"-Wl,-T,{script}", "-Wl,--gc-sections"]
    more = [script, root / "image" / "runtime.c"]
    return compiled(f"{core}.elf", [*command, optimise, *flags], room, root, more, libraries)


def compiler(core: str, toolchain: str) -> tuple[list[str], list[str]]:
    """Return the command that compiles for a core, and the libraries to link in the end; arguments and errors as for `image`."""
    if core not in CORES:
        raise BitspikeError(f"no core is named {core!r}; there are: {', '.join(CORES)}")
    chosen = CORES[core]
    if toolchain == "zig":
        return [*zig(), *chosen.zig], []
    if toolchain != "gcc":
        raise BitspikeError(f"toolchain = {toolchain!r}; choose zig or gcc")
    found = next(filter(None, map(shutil.which, chosen.gcc)), None)
    if found is None:
        raise BitspikeError(f"{core}: {' or '.join(chosen.gcc)} is not on the path; install it, or build with zig")
    return [found, *chosen.gcc_flags, "-nostdlib"], ["-lgcc"]


def application(
    core: str,
    name: str,
    files: dict[str, bytes],
    room: Capacity,
    toolchain: str = "zig",
    optimise: str = "-O2",
    root: Path = ROOT,
    program: str = "application",
) -> Path:
    """Return the ELF image of the application with a generated chain, built if it was not.

    Parameters
    ----------
    core, toolchain, optimise, root
        As for `image`.
    name : str
        Of the chain, as a C name.
    files : dict of str to bytes
        ``<name>.h`` and ``<name>.c``, as `generate.Generated.files` gives them.
    room : Capacity
        The macros ``BS_MAX_...``.
    program : str
        "application", or "events" for a chain of events.
    """
    command, libraries = compiler(core, toolchain)
    own, folder = root / "image", kept_files({file: files[file] for file in (f"{name}.h", f"{name}.c")})
    script = own / "application.ld"
    entry = "_start" if core == "rv32imc" else "bs_reset"
    flags = [*ALONE, f"-Wl,-T,{script}", "-Wl,--gc-sections", f"-Wl,-e,{entry}", f"-I{folder}", f"-I{own}"]
    flags += [f"-DBS_CHAIN={name}", f"-DBS_CHAIN_MACRO={name.upper()}"]
    more = [own / f"{file}.c" for file in (program, "main", "runtime", f"start_{core}")]
    more += [folder / f"{name}.c", folder / f"{name}.h", own / f"{program}.h", own / "results.h", script]
    return compiled(f"{core}-{program}.elf", [*command, optimise, *flags], room, root, more, libraries)


def kept_files(files: dict[str, bytes]) -> Path:
    """Return a folder of the cache with files of this name and content."""
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:24]
    target = cache_folder() / f"generated-{digest}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / target.name
            made.mkdir()
            for name, content in files.items():
                (made / name).write_bytes(content)
            with suppress(OSError):  # another program has just made the same
                made.rename(target)
    return target


def host_library(compiler: Sequence[str], optimise: str, room: Capacity | int, root: Path = ROOT) -> Path:
    """Return the library for this machine, built by a compiler of choice; the installed one is built by Meson."""
    return compiled("native.so", [*compiler, optimise, "-shared", "-fPIC"], room, root)


def compiled(
    name: str,
    command: Sequence[str],
    room: Capacity | int,
    root: Path = ROOT,
    more: Sequence[Path] = (),
    libraries: Sequence[str] = (),
) -> Path:
    """Return what `command` makes of the library's sources, from the cache where it is there."""
    command = [*command, *COMMON, *macros(room), f"-I{root / 'include'}"]
    files = [*sources(root), *(path for path in more if path.suffix == ".c")]
    digest = hashlib.sha256(repr((command, libraries)).encode())
    for path in [*files, *sorted((root / "include").rglob("*.h")), *more]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    target = cache_folder() / digest.hexdigest()[:24] / name
    if target.exists():
        return target
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / name
        run([*command, *map(str, files), *libraries, "-o", str(made)])
        made.replace(target)
    return target


def macros(room: Capacity | int) -> list[str]:
    """Return the compiler's flags that make room."""
    return [f"-DBS_MAX_{name.upper()}={most}" for name, most in room_for(room).limits().items()]


def run(command: Sequence[str]) -> None:
    """Run a compiler; its first complaint becomes the error's line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BitspikeError(f"{command[0]}: there is no such compiler") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no message"]
        raise BitspikeError(f"{Path(command[0]).name}: the firmware does not compile: {lines[0]}")
