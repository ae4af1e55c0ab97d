# The five words a newcomer needs: make setup | serve | check | test | bench
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVE_ARGS ?=

.PHONY: setup serve check test bench virtual-camera clean

# Each stamp stands for one set of installed extras; it is older than pyproject.toml when those have changed.
$(BIN)/.serve: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(BIN)/.test: $(BIN)/.serve
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[test,train]'
	@touch $@

$(BIN)/.check: $(BIN)/.test
	$(BIN)/pip install --quiet --editable '.[check]'
	@touch $@

$(BIN)/.peers: $(BIN)/.serve
	$(BIN)/pip install --quiet --editable '.[peers]'
	@touch $@

$(BIN)/.camera: $(BIN)/.serve
	$(BIN)/pip install --quiet --editable '.[camera]'
	@touch $@

setup: $(BIN)/.check $(BIN)/.peers

serve: $(BIN)/.serve
	$(BIN)/qpi serve $(SERVE_ARGS)

check: $(BIN)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(BIN)/.test
	@tests/ensure_chromium.sh
	$(BIN)/pytest

bench: $(BIN)/.peers $(BIN)/.camera
	$(BIN)/python bench/latency.py --engine goldstein
	$(BIN)/python bench/accuracy.py --engine goldstein
	$(BIN)/python bench/streaming.py
	$(BIN)/python bench/camera.py

# The virtual off-axis camera, for any GenICam program; needs a C compiler.
virtual-camera: $(BIN)/.serve
	$(BIN)/python -m camera.virtual_gentl.build build/virtual-camera.cti

clean:
	rm -rf $(VENV) build dist *.egg-info
