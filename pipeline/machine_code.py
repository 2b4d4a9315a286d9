"""Machine code on disk that is loaded without getting the compiler ready.

Numba keeps what it has compiled, but makes all of its compiler ready before it loads anything of it, which takes half a second.
A kernel that is a C function (see `binding`) needs nothing of the compiler to run, so its object code is kept in a file
of its own, beside what Numba keeps, and LLVM loads that.

A file is a SHA-256 of what follows, the name of the function and a line feed, and the object code. The name of the file tells what
the code is made from and for: the text of the function, the versions of Python, Numba and LLVM, and the processor.
"""

from __future__ import annotations

import hashlib
import platform
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding as llvm
from numba.core import config

from pipeline.fixed import kernel as kept_by_numba

DIGEST_BYTES = 32
_settings: Any = config
_ENGINES: list[Any] = []  # they own the code in memory


def address_of_code(kernel: Any, source: str, compiled: Callable[[], Any]) -> int:
    """Return the address of a C function, from disk if it is there.

    Parameters
    ----------
    kernel : numba dispatcher
        What the function calls: its code lies where Numba keeps that of the kernel.
    source : str
        The function's text, which says all that its code is made from.
    compiled : callable
        Returns the function as compiled by `numba.cfunc`.
    """
    file = _file(kernel, source)
    held = _read(file)
    if held is None:
        function = compiled()
        held = function.native_name, _emitted(function.inspect_llvm())
        _write(file, held, Path(kernel.py_func.__code__.co_filename))
    return _loaded(*held)


def _file(kernel: Any, source: str) -> Path:
    """Return where the code of a function is kept."""
    dispatcher: Any = kept_by_numba(kernel.py_func)
    folder = dispatcher.stats.cache_path
    made = hashlib.sha256("\n".join((source, *_machine())).encode()).hexdigest()
    return Path(folder) / f"{Path(kernel.py_func.__code__.co_filename).stem}.{kernel.py_func.__name__}-{made[:32]}.code"


@cache
def _machine() -> tuple[str, ...]:
    """Return what object code depends on besides its source."""
    versions = str(sys.implementation.cache_tag), numba.__version__, llvmlite.__version__
    return *versions, llvm.get_process_triple(), *_processor()


def _processor() -> tuple[str, str]:
    """Return the processor's name and features, as Numba compiles for them."""
    features = _settings.CPU_FEATURES
    name = _settings.CPU_NAME or llvm.get_host_cpu_name()
    return name, llvm.get_host_cpu_features().flatten() if features is None else features


def _target() -> Any:
    """Return LLVM's target, set up as Numba does."""
    name, features = _processor()
    moves = "static" if platform.machine().startswith(("aarch64", "ppc64le")) else "default"
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=name, features=features, opt=3, reloc=moves, codemodel="jitdefault", jit=True
    )


def _emitted(text: str) -> bytes:
    """Return the object code of a module in LLVM's language that has been optimised."""
    code: bytes = _target().emit_object(llvm.parse_assembly(text))
    return code


def _loaded(name: str, code: bytes) -> int:
    """Load object code; return the address of a function in it."""
    _know_runtime()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
    if _settings.ENABLE_PROFILING:
        engine.enable_jit_events()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _ENGINES.append(engine)
    return int(engine.get_function_address(name))


@cache
def _know_runtime() -> None:
    """Tell LLVM where the functions are that arrays made in a kernel need: of Numba's runtime, which is ready when it compiles."""
    from numba.core.registry import cpu_target
    from numba.core.runtime import rtsys

    rtsys.initialize(cpu_target.target_context)


def _read(file: Path) -> tuple[str, bytes] | None:
    """Return a function's name and its code; None where they are not there, or damaged."""
    try:
        held = file.read_bytes()
    except OSError:
        return None
    digest, rest = held[:DIGEST_BYTES], held[DIGEST_BYTES:]
    if hashlib.sha256(rest).digest() != digest:
        return None
    name, _, code = rest.partition(b"\n")
    return name.decode(), code


def _write(file: Path, held: tuple[str, bytes], source: Path) -> None:
    """Keep a function's code, and no longer that of the same kernel from before its file changed; a full disk is no error."""
    rest = held[0].encode() + b"\n" + held[1]
    new = file.with_name(f"{file.name}.{secrets.token_hex(4)}.new")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        for old in file.parent.glob(f"{file.name.rpartition('-')[0]}-*.code"):
            if old.stat().st_mtime < source.stat().st_mtime:
                old.unlink(missing_ok=True)
        try:
            new.write_bytes(hashlib.sha256(rest).digest() + rest)
            new.replace(file)  # at once, as another program may be reading it
        finally:
            new.unlink(missing_ok=True)
