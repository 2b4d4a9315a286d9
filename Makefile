# From a fresh clone: `make demo` shows everything at work, `make test` proves it. Both make the virtual environment themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_READY := $(VENV)/.demo-ready
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.bench-ready
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Real recordings for the tests that can use them; see CONTRIBUTING.md.
ifndef BITSPIKE_DATA
ifneq ($(wildcard ../shared/data),)
export BITSPIKE_DATA := $(abspath ../shared/data)
endif
endif

.PHONY: all demo test harden bench lint format clean

all: $(READY)

# Without compiling what they install, which takes longer than the installation: Python compiles what is used, when it is.
# Rather an older wheel than the newest source of a package, which may not build here.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --prefer-binary
# All of it, on all cores, for the many short programs of tests and benchmarks; some packages have files for other Pythons.
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true

# Bytecode of what a command uses is kept, so that it starts quickly from then on.
KEEP := PYTHONDONTWRITEBYTECODE=

# What the demonstration needs: without the compilers and tools of the tests, which are most of it.
$(DEMO_READY): pyproject.toml meson.build
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(PIP) 'meson-python>=0.17' 'meson>=1.4' ninja setuptools wheel
	$(PIP) --no-build-isolation --editable '.[ephys,plot]'
	$(KEEP) $(BIN)/bitspike --help >/dev/null
	touch $@

$(READY): $(DEMO_READY)
	$(PIP) --no-build-isolation --editable '.[ephys,events,plot,firmware,test]'
	$(COMPILE)
	touch $@

$(BENCH_READY): $(READY)
	$(PIP) --no-build-isolation --editable '.[bench]'
	$(COMPILE)
	touch $@

demo: $(DEMO_READY)
	$(KEEP) $(BIN)/bitspike demo

test: lint
	$(BIN)/python -c 'import firmware' # compiles what changed in the C library, once, before two processes would
	$(BIN)/python -m pytest -n 2 --dist worksteal

# What looks for trouble in the C: sanitizers, static analysis, MISRA rules, random bytes. Needs gcc, clang and cppcheck.
harden: $(READY)
	$(BIN)/python -m pytest -q tests/firmware/test_builds.py -k sanitizers
	$(BIN)/python -m firmware.harden

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BENCH_READY)
	$(BIN)/python -m benchmarks

clean:
	rm -rf build out $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
