"""The structs in the headers are the layouts of the Python stages, to the byte, on every machine."""

from __future__ import annotations

import re

import pytest

from firmware import build, has
from pipeline.chain import load_stages
from pipeline.errors import BitspikeError
from pipeline.layout import c_layout_check
from pipeline.stage import REGISTRY

load_stages()
NAMES = [name for name in sorted(REGISTRY) if has(name)]
COMPILERS = {
    "gcc": ["gcc"],
    "zig": [*build.zig()],
    **{core: [*build.zig(), *flags.zig] for core, flags in build.CORES.items()},
}


def compile_alone(tmp_path, compiler, text, most):
    unit = tmp_path / "unit.c"
    unit.write_text(text)
    include = f"-I{build.ROOT / 'include'}"
    build.run([*COMPILERS[compiler], *build.COMMON, include, *build.macros(most), "-c", str(unit), "-o", str(tmp_path / "u.o")])


def layout_check(name, most):
    cls = REGISTRY[name]
    structs = {
        f"bs_{name}_tables": cls.tables_layout(build.room_for(most)),
        f"bs_{name}_state": cls.state_layout(build.room_for(most)),
    }
    return "".join(c_layout_check(struct, dtype) for struct, dtype in structs.items())


@pytest.mark.parametrize("most", [1, 24, 1024])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_structs_are_the_layouts(tmp_path, compiler, most):
    text = "#include <stddef.h>\n" + "".join(f'#include "bitspike/{name}.h"\n' for name in NAMES)
    compile_alone(tmp_path, compiler, text + "".join(layout_check(name, most) for name in NAMES), most)


def test_a_wrong_layout_is_named(tmp_path):
    text = '#include <stddef.h>\n#include "bitspike/bandpass.h"\n' + layout_check("bandpass", 8)
    with pytest.raises(BitspikeError, match="bs_bandpass_state"):
        compile_alone(tmp_path, "gcc", text, 9)


@pytest.mark.parametrize("header", sorted(path.name for path in (build.ROOT / "include/bitspike").glob("*.h")))
def test_header_stands_alone(tmp_path, header):
    compile_alone(tmp_path, "gcc", f'#include "bitspike/{header}"\ntypedef int translation_unit;\n', 8)


def test_version_is_that_of_the_package():
    from importlib.metadata import version

    text = (build.ROOT / "include/bitspike/version.h").read_text()
    numbers = [re.search(rf"BS_VERSION_{part} (\d+)", text)[1] for part in ("MAJOR", "MINOR", "PATCH")]
    assert ".".join(numbers) == version("bitspike")
