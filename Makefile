# The five words a newcomer needs: make setup | serve | check | test | bench; and with a GPU: test-gpu | bench-gpu
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVE_ARGS ?=

# What `make bench-gpu` compares; build/nasprnet.trt is made from the network that ships.
GPU_ENGINES ?= build/nasprnet.trt goldstein-cuda nasprnet goldstein

# mypy and import-linter follow folders, not the installation's mapping of names: give them the namespace as links.
LINKED := mkdir -p build/typing/qpi_live && for part in qpi_live/__init__.py qpi_live/py.typed bench camera models service; \
    do ln -sfn "$(CURDIR)/$$part" "build/typing/qpi_live/$$(basename $$part)"; done

.PHONY: setup serve check test test-gpu bench bench-gpu virtual-camera clean

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

$(BIN)/.gpu: $(BIN)/.test
	$(BIN)/pip install --quiet --editable '.[gpu]'
	@touch $@

setup: $(BIN)/.check $(BIN)/.peers

serve: $(BIN)/.serve
	$(BIN)/qpi serve $(SERVE_ARGS)

check: $(BIN)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(LINKED)
	$(BIN)/mypy
	cd build/typing && $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml

test: $(BIN)/.test
	@tests/ensure_chromium.sh
	$(BIN)/pytest

# All that needs an NVIDIA GPU; each test that is skipped says what it lacks.
test-gpu: $(BIN)/.gpu
	$(BIN)/pytest -m gpu

bench: $(BIN)/.peers $(BIN)/.camera
	$(BIN)/python bench/latency.py --engine goldstein --engine nasprnet
	$(BIN)/python bench/accuracy.py --engine goldstein --engine nasprnet
	$(BIN)/python bench/streaming.py
	$(BIN)/python bench/camera.py

bench-gpu: $(BIN)/.gpu $(BIN)/.peers
	mkdir -p build
	cp models/weights/nasprnet.onnx build/nasprnet.onnx
	$(BIN)/qpi compile build/nasprnet.onnx -o build/nasprnet.trt
	$(BIN)/python bench/latency.py $(addprefix --engine ,$(GPU_ENGINES)) --json bench/results/latency-gpu.json

# The virtual off-axis camera, for any GenICam program; needs a C compiler.
virtual-camera: $(BIN)/.serve
	$(BIN)/python -m qpi_live.camera.virtual_gentl.build build/virtual-camera.cti

clean:
	rm -rf $(VENV) build dist *.egg-info
