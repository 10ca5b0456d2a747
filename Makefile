# Two commands for a newcomer: `make demo` and `make test`. Both are idempotent; the stamps remember what is installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TORCH := torch>=2.6,<2.14

.PHONY: demo test test-all lint docs wheel bench clean

demo: $(VENV)/.installed-core
	$(BIN)/provenance demo

test: lint
	$(BIN)/python -m pytest -n 2 -m "not slow and not gpu"

test-all: lint
	$(BIN)/python -m pytest -n 2 -m "not gpu"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-dev
	$(BIN)/python scripts/make_reference.py

wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --outdir dist .

bench: $(VENV)/.installed-dev
	@echo "each benchmark is one file: $(BIN)/python bench/NAME.py; PROVENANCE_BENCH_DATA names the data folder"

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-core: pyproject.toml | $(BIN)/python
	$(PIP) --editable .
	touch $@

# A CPU build of torch carries no CUDA packages; where the index has none, its plain build is taken.
$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -c 'import torch' 2>/dev/null || $(PIP) "torch==2.13.0+cpu" 2>/dev/null || $(PIP) "$(TORCH)"
	$(PIP) --editable ".[neural,sign,standards,dev]"
	touch $@ $(VENV)/.installed-core
