# scan-lightning: `make` alone lists what there is.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
RUN    := $(BIN)/scan-lightning
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all test-latest lint types bench reproduce-flickr reproduce-coco reproduce-flickr8k clean

help:  ## list these targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 22

# The virtual environment is made on first use by every target that needs it, with the pinned versions.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "scan-lightning needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(STAMP)  ## make .venv and install the package with everything the tests use

demo: $(STAMP)  ## train on the built-in scenes, evaluate and draw what each word looked at (minutes)
	$(RUN) demo

test: $(STAMP)  ## the tests a change is checked with (under 8 minutes on 2 cores)
	$(PYTEST) -m "not slow"

test-all: $(STAMP)  ## every test, the slow ones too
	$(PYTEST)

test-latest:  ## the fast tests with the newest versions that pyproject.toml allows (its own .venv-latest; torch may be several GB)
	@test -x .venv-latest/bin/python || $(PYTHON) -m venv .venv-latest
	.venv-latest/bin/python -m pip install --quiet --upgrade pip
	.venv-latest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev]'
	OMP_NUM_THREADS=1 .venv-latest/bin/python -m pytest -n auto -m "not slow"

lint: $(STAMP)  ## ruff check, ruff format --check, codespell
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(STAMP)  ## strict type check of src/
	$(BIN)/mypy

bench: $(STAMP)  ## measure the similarity engine and the reader against the other ways
	$(BIN)/python benchmarks/similarity.py
	$(BIN)/python benchmarks/streaming.py

# DATA=DIR: the features and captions; DRY=1: minutes, on generated data. Also ONLY=ROW,ROW (or all),
# SEED=N,N and JOBS=N (trainings at a time); docs/reproduce.md explains them.
REPRODUCE = $(BIN)/python -m scan_lightning.reproduce
REPRODUCE_OPTIONS = $(if $(DATA),--data "$(DATA)") $(if $(filter-out 0,$(DRY)),--dry) $(if $(ONLY),--only "$(ONLY)") \
	$(if $(SEED),--seed "$(SEED)") $(if $(JOBS),--jobs "$(JOBS)")

reproduce-flickr: $(STAMP)  ## the paper's Flickr30K table: DATA=DIR, or DRY=1 to try it without data
	$(REPRODUCE) flickr30k $(REPRODUCE_OPTIONS)

reproduce-coco: $(STAMP)  ## the paper's MS-COCO table: DATA=DIR, or DRY=1
	$(REPRODUCE) coco $(REPRODUCE_OPTIONS)

reproduce-flickr8k: $(STAMP)  ## the same on Flickr8K, at a size that two cores train: DATA=DIR, or DRY=1
	$(REPRODUCE) flickr8k $(REPRODUCE_OPTIONS)

clean:  ## remove caches and build products (keeps .venv and outputs)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -type d -exec rm -rf {} +
