# make demo   set up .venv, then fit the example models
# make test   set up .venv, then lint, types and tests
# make test-all   the same with the slow tests: notebooks, compiled samplers, calibration
# make lint   ruff and mypy only
# make bench  time small fits, against lme4 (where Rscript has it) and Python peers
# make bench-all      time everything (hours), then README's table and docs' picture
# make bench-publish  only the table and the picture, from the last bench-all
# make docs   write docs/_build/html/index.html
# make release-check  the wheel of the source distribution in a clean environment: README, demo
# make linkcheck      the links of the documentation (offline: only those inside it)
# Needs git, make and a Python >= 3.12; PYTHON=/path/to/python picks one. A second run installs nothing.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin

# The first of these that runs and is new enough. The pyenv paths help where .python-version names
# a version that is not installed: then pyenv's `python3` fails.
PYTHON ?= $(shell for python in python3.13 python3.12 python3 python3.14 \
	"$$HOME"/.pyenv/versions/3.13*/bin/python "$$HOME"/.pyenv/versions/3.12*/bin/python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 \
	&& { echo "$$python"; break; }; done)

# Tests and the demo find the data sets that are not shipped here, where this folder exists.
ifneq ($(wildcard ../shared/data/schema.json),)
export NESTEDMLM_DATA ?= $(abspath ../shared/data)
endif

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start processes of their own: each would compile the package's sources again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all lint bench bench-all bench-publish docs linkcheck release-check clean

demo: $(VENV)/.installed
	$(BIN)/python -m nestedmlm demo

# One process for each core; tests/conftest.py says what stays in one.
# BLAS takes one thread in each: threads of several processes would wait for one another.
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadscope

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

bench-all: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks --all
	$(BIN)/python -m benchmarks.sweep
	$(BIN)/python -m benchmarks --publish

bench-publish: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks --publish

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -W --keep-going -q -j auto -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

linkcheck: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -W --keep-going -q -D nb_execution_mode=off -b linkcheck docs docs/_build/linkcheck

release-check: $(BIN)/python
	$(BIN)/python tools/release_check.py

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python >= 3.12 found: install one, or say make PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# One stamp per set of extras: pip runs again only when pyproject.toml has changed.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.installed

# Peers that have no wheel for this Python are listed as absent; the benchmark runs without them.
$(VENV)/.installed-bench: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[bench]' || { \
	$(BIN)/python -m pip install --quiet --editable '.[plots]' && \
	for peer in mixedlm lme-python mixedlm-rs statsmodels interlace-lme; do \
	$(BIN)/python -m pip install --quiet --only-binary :all: $$peer || true; done; }
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache docs/_build
