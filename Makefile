# SPDX-License-Identifier: GPL-3.0-or-later
PYTHON ?= python3
VENV ?= .venv
INSTALLED = $(VENV)/installed

.PHONY: demo lint-js test

demo: $(INSTALLED)
	$(VENV)/bin/pupick demo --output demo

test: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest

lint-js:
	.ci/lint-js

$(INSTALLED): setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)
