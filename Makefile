# make setup   an environment in .venv with what running needs, so that .venv/bin/pseudorca runs
# make demo    the whole job on a simulated survey, or on yours: make demo DATA=folder
# make test    what testing needs on top, then style, types, import rules and all tests
# make bench   the benchmarks (results go into benchmarks/README.md by hand)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
RUNS := $(VENV)/.installed
TESTS := $(VENV)/.installed-dev
WORKERS ?= logical# processes that test: one for each core

.PHONY: setup demo test check bench clean

setup: $(RUNS)

$(RUNS): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	touch $@

$(TESTS): $(RUNS)
	$(INSTALL) '.[dev]'
	touch $@

demo: setup
	$(BIN)/pseudorca demo $(DATA)

check: $(TESTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal

bench: $(TESTS)
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) build dist src/*.egg-info
