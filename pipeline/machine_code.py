"""Machine code on disk that is loaded without getting the compiler ready.

Numba keeps what it has compiled, but makes all of its compiler ready before it loads anything of it, which takes half a second.
A kernel that is a C function (see `binding`) needs nothing of the compiler to run, so its object code is kept in a file
of its own, beside what Numba keeps, and LLVM loads that.

A file is a SHA-256 of what follows, the name of the function and a line feed, and the object code. The name of the file tells what
the code is made from and for: the text of the function, the versions of Python, Numba and LLVM, the settings of Numba, and the
processor.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite import binding as llvm
from numba.core import config
from numba.core.codegen import get_host_cpu_features

from pipeline.fixed import kernel as kept_by_numba

DIGEST_BYTES = 32
DAY_S = 24 * 3600
SETTINGS = (  # of Numba, those that change the code of a kernel
    "OPT",
    "BOUNDSCHECK",
    "DEBUGINFO_DEFAULT",
    "EXTEND_VARIABLE_LIFETIMES",
    "LOOP_VECTORIZE",
    "SLP_VECTORIZE",
    "LLVM_REFPRUNE_PASS",
    "LLVM_REFPRUNE_FLAGS",
    "USING_SVML",
    "DEBUG_NRT",
)
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

    Raises
    ------
    RuntimeError
        LLVM does not find the function in its own code.
    """
    file = _file(kernel, source)
    held = _read(file)
    address = 0 if held is None else _loaded(*held)
    if not address:
        function = compiled()
        held = function.native_name, _emitted(function.inspect_llvm())
        _write(file, held, Path(kernel.py_func.__code__.co_filename))
        address = _loaded(*held)
    if not address:
        raise RuntimeError(f"{kernel.py_func.__qualname__}: LLVM has compiled it and does not find it")
    return address


def _file(kernel: Any, source: str) -> Path:
    """Return where the code of a function is kept."""
    dispatcher: Any = kept_by_numba(kernel.py_func)
    folder = dispatcher.stats.cache_path
    made = hashlib.sha256("\n".join((source, *_machine())).encode()).hexdigest()
    return Path(folder) / f"{Path(kernel.py_func.__code__.co_filename).stem}.{kernel.py_func.__name__}-{made[:32]}.code"


def _machine() -> tuple[str, ...]:
    """Return what object code depends on besides its source."""
    versions = str(sys.implementation.cache_tag), numba.__version__, llvmlite.__version__
    settings = [f"{name}={getattr(_settings, name)!r}" for name in SETTINGS]
    return *versions, *settings, llvm.get_process_triple(), *_processor()


def _processor() -> tuple[str, str]:
    """Return the processor's name and features, as Numba compiles for them."""
    name, features = _host(bool(_settings.ENABLE_AVX))
    given = _settings.CPU_NAME, _settings.CPU_FEATURES
    return name if given[0] is None else given[0], features if given[1] is None else given[1]


@cache
def _host(_avx: bool) -> tuple[str, str]:
    """Return this processor's name and features, which take long to find out; Numba leaves AVX out where its setting says so."""
    return llvm.get_host_cpu_name(), get_host_cpu_features()


def _target() -> Any:
    """Return LLVM's target, set up as Numba does."""
    name, features = _processor()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    moves = "static" if target.name.startswith("x86") else "pic" if target.name.startswith("ppc") else "default"
    return target.create_target_machine(
        cpu=name, features=features, opt=_settings.OPT, reloc=moves, codemodel="jitdefault", jit=True
    )


def _emitted(text: str) -> bytes:
    """Return the object code of a module in LLVM's language that has been optimised."""
    code: bytes = _target().emit_object(llvm.parse_assembly(text))
    return code


def _loaded(name: str, code: bytes) -> int:
    """Load object code; return the address of a function in it, or 0."""
    _know_runtime()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target(), use_lmm=_settings.USE_LLVMLITE_MEMORY_MANAGER)
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
    """Keep a function's code, and no longer what nobody will load again; a full disk is no error."""
    rest = held[0].encode() + b"\n" + held[1]
    new = file.with_name(f"{file.name}.{secrets.token_hex(4)}.new")
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        _tidy(file, source)
        try:
            new.write_bytes(hashlib.sha256(rest).digest() + rest)
            new.replace(file)  # at once, as another program may be reading it
        finally:
            new.unlink(missing_ok=True)


def _tidy(file: Path, source: Path) -> None:
    """Remove code of the same kernel from before its file changed, or that nobody read for a month, as it may come from before a
    helper's file changed; also what programs left that were stopped while they wrote."""
    now, changed = time.time(), 0.0
    with suppress(OSError):
        changed = source.stat().st_mtime
    prefix = file.name.rpartition("-")[0]
    for pattern, written, read in ((f"{prefix}-*.code", changed, now - 30 * DAY_S), ("*.code.*.new", now - DAY_S, 0.0)):
        for old in file.parent.glob(pattern):
            with suppress(OSError):  # one that cannot be removed is no reason to keep the others, or not to write
                found = old.stat()
                if found.st_mtime < written or max(found.st_atime, found.st_mtime) < read:
                    old.unlink(missing_ok=True)
