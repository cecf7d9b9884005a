# SPDX-License-Identifier: GPL-3.0-or-later
PYTHON ?= python3
VENV ?= .venv
INSTALLED = $(VENV)/installed
# two processes of one thread; tests of a file share what they have made, and so a process
PYTEST = OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile

.PHONY: demo lint lint-js test test-all test-slow

demo: $(INSTALLED)
	$(VENV)/bin/pupick demo --output demo

test: lint
	$(PYTEST) -m "not slow"

test-slow: $(INSTALLED)
	$(PYTEST) -m "slow or hypothesis" --hypothesis-profile full

test-all: test test-slow

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

lint-js:
	.ci/lint-js

$(INSTALLED): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)
