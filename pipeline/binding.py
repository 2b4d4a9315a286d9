"""Kernels bound to their tables and state: machine code that is given addresses instead of an argument for each field.

A kernel takes every field of its tables and state as an argument of its own, so that it reads like the C. Handing a dozen arguments
from Python to machine code costs as much as filtering a millisecond of signal. So a kernel is compiled as a C function of two
pointers: to the addresses of the fields, which stay the same, and to the words of one block, which are the addresses and shapes of
its arrays, and its sizes. A `Step` calls that function from Python; `express` calls those of a whole chain one after the other.
"""

from __future__ import annotations

import ast
import ctypes
import inspect
import zlib
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, types
from numba.core import config
from numba.core.errors import TypingError
from numba.extending import intrinsic

from pipeline.errors import BitspikeError
from pipeline.fixed import kernel as compiled
from pipeline.layout import layout, names
from pipeline.machine_code import address_of_code

Kind = tuple[str, int]  # of an argument: type and dimensions of an array, in which the rows follow each other; ("", 0): an integer
NUMBER: Kind = ("", 0)
HEAD = 2  # words of a step before those of the block: the function's address, and where the addresses of its fields are
OURS = ("pipeline", "sensors", "classifiers", "firmware", "bitspike")  # the packages whose files machine code may come from
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_WORDS = types.CPointer(types.int64)
_ENTRIES: dict[tuple[str, str], tuple[Any, int]] = {}
_operation: Any = intrinsic
_settings: Any = config


@_operation
def pointer(_context: Any, address: Any) -> Any:
    """Return an int64 address as a pointer."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(address), generate


@_operation
def call(_context: Any, function: Any, fields: Any, words: Any) -> Any:
    """Call the compiled kernel at an address with the addresses of its fields and of the words of a block."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(word, [word.as_pointer(), word.as_pointer()])
        given = [builder.inttoptr(address, word.as_pointer()) for address in arguments[1:]]
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), given)

    return types.int64(function, fields, words), generate


def address_of(kind: Kind) -> Any:
    """Return a function for compiled code: the address of an array, which must be of that kind."""

    @_operation
    def address(_context: Any, array: Any) -> Any:
        right = isinstance(array, types.Array) and array.layout == "C" and (array.dtype.name, array.ndim) == kind
        if not right:
            raise TypingError(f"a kernel takes {kind[0]} in {kind[1]} dimensions without gaps, not {array}")

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            return builder.ptrtoint(data, ir.IntType(64))

        return types.int64(array), generate

    return address


def _names(code: CodeType) -> set[str]:
    """Return the names that a function's code uses, and that of the functions in it."""
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)


def _origin(function: Any, files: set[str], constants: dict[Any, list[int]]) -> None:
    """Add the files of `function` and of all of ours that it may call, and the integers that each of them has from elsewhere.

    That may be a kernel, an operation that Numba is taught (`intrinsic`), or what makes the code of one; by its name, or as
    an attribute of a module.
    """
    files.add(inspect.getfile(function))
    names = _names(function.__code__)
    used = [cell.cell_contents for cell in function.__closure__ or ()]
    used += [function.__globals__.get(name) for name in sorted(names)]
    for module in [one for one in used if isinstance(one, ModuleType)]:
        used += [vars(module)[name] for name in sorted(names & vars(module).keys())]
    constants[function] = [value for value in used if isinstance(value, int)]
    ours = {*OURS, _root(function)}
    for one in used:
        called = getattr(one, "py_func", getattr(one, "__wrapped__", one))
        if isinstance(called, FunctionType) and called not in constants and _root(called) in ours:
            _origin(called, files, constants)


def _root(function: Any) -> str:
    return str(function.__module__).partition(".")[0]


@cache
def _version(kernel: Any) -> int:
    """Return a checksum of all that the machine code of `kernel` comes from; Numba itself looks at the kernel's own file only."""
    files: set[str] = set()
    constants: dict[Any, list[int]] = {}
    _origin(kernel.py_func, files, constants)
    total = zlib.crc32(str(list(constants.values())).encode())
    for file in sorted(files):
        total = zlib.crc32(Path(file).read_bytes(), total)
    return total


def _views(kinds: list[Kind], words: str, at: int = 0, by_value: bool = False) -> list[str]:
    """Return the text of arguments found through `words` from `at` on; fields without dimensions lie at an address as well."""
    text = []
    for name, ndim in kinds:
        if not name:
            text.append(f"{words}[{at}]")
            at += 1
            continue
        shape = tuple(f"{words}[{at + 1 + axis}]" for axis in range(ndim)) or ("1",)
        view = f"__carray(__pointer({words}[{at}]), ({', '.join(shape)},), __{name})"
        text.append(f"{view}[0]" if by_value and not ndim else view)
        at += 1 + ndim
    return text


def _source(kernel: Any, tables: np.dtype, state: np.dtype, kinds: tuple[Kind, ...]) -> str:
    """Return the head of the C function, before the kernel's own text; its name tells all that its machine code comes from."""
    constants, variables = (
        [(_native(record[name].base), record[name].ndim) for name in names(record)] for record in (tables, state)
    )
    arguments = _views(constants, "__fields", by_value=True)
    arguments += _views(variables, "__fields", size_in_words(constants)) + _views(list(kinds), "__words")
    given = zip(inspect.signature(kernel.py_func).parameters, arguments, strict=True)
    body = "(__fields, __words):\n    " + "\n    ".join(f"{name} = {view}" for name, view in given) + "\n"
    mark = zlib.crc32(f"{kernel.py_func.__qualname__} {_version(kernel)} {body}".encode())
    return f"def {kernel.py_func.__name__}_{mark:08x}{body}"


def _made(source: str | ast.Module, file: str, scope: dict[str, Any], name: str) -> Any:
    """Return the function that a text defines, under a file's name, so that what Numba caches of it lies there."""
    exec(compile(source, file, "exec"), scope)
    return scope[name]


def _text(function: FunctionType) -> ast.FunctionDef:
    """Return a function's text, from its file."""
    file, code = inspect.getfile(function), function.__code__
    source = Path(file).read_bytes()
    if code not in _codes(compile(source, file, "exec", dont_inherit=True)):
        raise BitspikeError(f"{file}: has changed since {function.__qualname__} was imported: start Python again")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and code.co_firstlineno in (node.lineno, *(d.lineno for d in node.decorator_list[:1])):
            return node
    raise AssertionError(f"{file} has the code of {function.__qualname__}, but not its text")


def _codes(code: CodeType) -> list[CodeType]:
    """Return what the functions in a text compile to."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return [*inner, *(code for one in inner for code in _codes(one))]


def _function(kernel: Any, source: str) -> Any:
    """Return the C function as Python: the head, then the kernel's text, so that one function is compiled, and not two of which
    one is inlined."""
    function = kernel.py_func
    text, module = _text(function), ast.parse(source)
    for node in ast.walk(module):
        if isinstance(node, ast.stmt | ast.expr | ast.arg):
            node.lineno = node.end_lineno = text.lineno  # where messages of the compiler will point
    head = module.body[0]
    assert isinstance(head, ast.FunctionDef)
    head.body += text.body
    cells = (cell.cell_contents for cell in function.__closure__ or ())
    scope = function.__globals__ | dict(zip(function.__code__.co_freevars, cells, strict=True))
    scope |= {"__carray": carray, "__pointer": pointer} | {f"__{name}": getattr(np, name) for name in INTEGERS}
    return _made(module, inspect.getfile(function), scope, head.name)


def _entry(kernel: Any, tables: np.dtype, state: np.dtype, kinds: tuple[Kind, ...]) -> int:
    """Return the address of the kernel as a C function, compiled once for arguments of these kinds."""
    if _settings.DISABLE_JIT:
        raise BitspikeError("NUMBA_DISABLE_JIT is set: bitspike's kernels are compiled; unset it")
    file = inspect.getfile(kernel.py_func)
    source = _source(kernel, tables, state, kinds)

    def compiled_now() -> Any:
        return cfunc(types.int64(_WORDS, _WORDS), error_model="numpy")(_function(kernel, source))

    if (file, source) not in _ENTRIES:
        _ENTRIES[file, source] = kernel, address_of_code(kernel, source, compiled_now)
    known, address = _ENTRIES[file, source]
    if known is not kernel:
        raise TypeError(f"{file}: two kernels are called {kernel.py_func.__qualname__} and close over the same integers")
    return address


@cache
def _caller(kinds: tuple[Kind, ...]) -> Callable[..., int]:
    """Return ``caller(words, *arguments)``, which fills the words of a block and calls the function that they begin with."""
    lines, scope, at = [], {"call": call, "own": address_of(("int64", 1)), "__name__": __name__}, HEAD
    for number, (name, ndim) in enumerate(kinds):
        if not name:
            lines.append(f"words[{at}] = a{number}")
            at += 1
            continue
        scope[f"address{number}"] = address_of((name, ndim))
        lines.append(f"words[{at}] = address{number}(a{number})")
        lines += [f"words[{at + 1 + axis}] = a{number}.shape[{axis}]" for axis in range(ndim)]
        at += 1 + ndim
    lines.append(f"return call(words[0], words[1], own(words) + {8 * HEAD})")
    given = "".join(f", a{number}" for number in range(len(kinds)))
    mark = "_".join(f"{name or 'n'}{ndim or ''}" for name, ndim in kinds)
    name = f"call_{mark}"
    caller: Callable[..., int] = compiled(
        _made(f"def {name}(words{given}):\n    " + "\n    ".join(lines) + "\n", __file__, scope, name)
    )
    return caller


def size_in_words(kinds: Iterable[Kind]) -> int:
    """Return how many words the arguments of these kinds take."""
    return sum(1 + ndim for _, ndim in kinds)


def _native(dtype: np.dtype) -> str:
    """Return the name of a type, which says nothing of the order of its bytes; that must be this machine's."""
    if not dtype.isnative:
        raise TypeError(f"a kernel takes numbers in this machine's byte order, not {dtype.str}")
    return dtype.name


def _kind(argument: Any) -> Kind:
    return (_native(argument.dtype), argument.ndim) if isinstance(argument, np.ndarray) else NUMBER


def _addresses(*records: np.ndarray) -> np.ndarray:
    """Return address and extents of every field in order, int64 [words]."""
    words: list[int] = []
    for record in records:
        for name in names(record.dtype):
            words += [record[name].ctypes.data, *record[name].shape]
    return np.array(words, np.int64)


@cache
def plain(kernel: Any, kinds: tuple[Kind, ...]) -> Callable[[None, int], int]:
    """Return a kernel that has neither tables nor state: ``plain(None, address of the words of its arguments)``."""
    nothing = layout()
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(_entry(kernel, nothing, nothing, kinds))


def words_of(arguments: Iterable[Any]) -> list[int]:
    """Return arguments as a kernel takes them: an array's address and shape, or the number."""
    words = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            if not argument.flags.c_contiguous:
                raise ValueError("a kernel takes arrays without gaps")
            words += [argument.ctypes.data, *argument.shape]
        else:
            words.append(argument)
    return words


def call_plain(kernel: Any, *arguments: Any) -> int:
    """Run a kernel that has neither tables nor state; for calls that are few, as each takes some microseconds."""
    words = np.array(words_of(arguments), np.int64)
    return plain(kernel, tuple(map(_kind, arguments)))(None, words.ctypes.data)


class Step:
    """A kernel on one set of tables and one state, in place: ``step(*arrays, *sizes)``.

    Parameters
    ----------
    kernel : numba dispatcher
        Takes the fields of the tables in order (scalars by value), those of the state (scalars as arrays of one), then the rest.
        Kernels that one function makes must differ in an integer that they, or what they call, close over.
    tables, state : numpy.ndarray
        One struct each; they must stay where they are in memory: change them in place.
    """

    def __init__(self, kernel: Any, tables: np.ndarray, state: np.ndarray) -> None:
        self.kernel = kernel
        self.held = tables, state  # for as long as there is someone who could call
        self.fields = _addresses(tables, state)

    def __call__(self, *arguments: Any) -> int:
        """Run the kernel; the arrays' types, and that their rows follow each other, are checked when a new type is seen."""
        return self.quick(*arguments)(*arguments)

    def entry(self, kinds: tuple[Kind, ...]) -> tuple[int, int]:
        """Return the addresses of the compiled kernel and of its fields' addresses, for `call`."""
        tables, state = self.held
        return _entry(self.kernel, tables.dtype, state.dtype, kinds), self.fields.ctypes.data

    def quick(self, *arguments: Any) -> Callable[..., int]:
        """Return the step for arguments of the same types as these, without its checks."""
        kinds = tuple(map(_kind, arguments))
        words = np.zeros(HEAD + size_in_words(kinds), np.int64)
        words[:HEAD] = self.entry(kinds)
        step = partial(_caller(kinds), words)
        step.__dict__["held"] = self
        return step
