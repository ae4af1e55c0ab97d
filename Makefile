# make setup | serve | check | quick | test | test-integrations | docs | bench; and with a GPU: test-gpu | bench-gpu
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVE_ARGS ?=
# The versions that were tested together; `PIN=` takes the newest instead.
PIN ?= --constraint constraints.txt
PIP := $(BIN)/pip install --quiet

# Many tests wait for a process that they started, so more run at once than there are cores; each library keeps to one.
WORKERS = $(shell $(BIN)/python -c "import os; print((os.cpu_count() or 1) * 3 // 2)")
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest

# What `make bench-gpu` compares; build/nasprnet.trt is made from the network that ships.
GPU_ENGINES ?= build/nasprnet.trt goldstein-cuda nasprnet goldstein

# mypy and import-linter follow folders, not the installation's mapping of names: give them the namespace as links.
LINKED := mkdir -p build/typing/qpi_live && for part in qpi_live/__init__.py qpi_live/py.typed bench camera models service; \
    do ln -sfn "$(CURDIR)/$$part" "build/typing/qpi_live/$$(basename $$part)"; done

# Programs of others need their own packages, of which the program's tests know nothing.
WITH_OTHERS := build/integrations
# A window needs a screen; `xvfb-run` makes one where there is none.
SCREEN := $(if $(DISPLAY),,$(if $(shell command -v xvfb-run),xvfb-run -a -s "-screen 0 1400x1000x24"))

.PHONY: setup serve check check-page kernels quick test test-integrations docs test-gpu bench bench-gpu virtual-camera clean

# Each stamp stands for one set of installed extras; it is older than pyproject.toml when those have changed.
$(BIN)/.serve: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(PIN) --editable .
	@touch $@

# Linting and types, without torch and without browsers.
$(BIN)/.check: $(BIN)/.serve
	$(PIP) $(PIN) --editable '.[check]'
	@touch $@

$(BIN)/.test: $(BIN)/.serve
	$(PIP) torch==2.13.0
	$(PIP) $(PIN) --editable '.[test,train]'
	@touch $@

$(BIN)/.peers: $(BIN)/.serve
	$(PIP) $(PIN) --editable '.[peers]'
	@touch $@

$(BIN)/.camera: $(BIN)/.serve
	$(PIP) $(PIN) --editable '.[camera]'
	@touch $@

$(BIN)/.docs: $(BIN)/.serve
	$(PIP) $(PIN) --editable '.[docs]'
	@touch $@

$(BIN)/.gpu: $(BIN)/.test
	$(PIP) --editable '.[gpu]'
	@touch $@

$(BIN)/.tensorrt: $(BIN)/.test
	$(PIP) --editable '.[gpu,tensorrt]'
	@touch $@

setup: $(BIN)/.check $(BIN)/.test $(BIN)/.peers

serve: $(BIN)/.serve
	$(BIN)/qpi serve $(SERVE_ARGS)

check: $(BIN)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/typos
	@$(LINKED)
	$(BIN)/mypy
	cd build/typing && $(CURDIR)/$(BIN)/lint-imports --config $(CURDIR)/pyproject.toml

# The tests that one runs while writing: under a minute, nothing built, started or trained.
quick: $(BIN)/.test
	$(BIN)/pytest --quick -x --numprocesses auto --dist loadfile

test: kernels
	@tests/ensure_chromium.sh
	$(PYTEST) --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# Numba's functions, compiled once, so that no test waits for them; done before, it takes some seconds.
kernels: $(BIN)/.test
	$(BIN)/python docker/precompile.py

# napari and others with their real packages, in an environment of its own.
test-integrations: $(WITH_OTHERS)/.stamp
	$(WITH_OTHERS)/bin/python docker/precompile.py
	$(SCREEN) $(WITH_OTHERS)/bin/pytest tests/service/napari tests/service/epics tests/service/micromanager tests/camera/micromanager tests/docs/test_programs.py tests/docker/test_monitoring.py tests/examples tests/models/export/test_triton.py tests/test_release.py

$(WITH_OTHERS)/.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(WITH_OTHERS)
	$(WITH_OTHERS)/bin/pip install --quiet $(PIN) --editable '.[integrations]'
	@touch $@

# The page's JavaScript, by TypeScript's checker and eslint; needs Node.js.
check-page: node_modules/.stamp
	npm run --silent check

node_modules/.stamp: package.json
	npm install --no-audit --no-fund --silent --no-package-lock
	@touch $@

docs: $(BIN)/.docs
	$(BIN)/mkdocs build --strict --site-dir build/site

# All that needs an NVIDIA GPU; each test that is skipped says what it lacks.
test-gpu: $(BIN)/.gpu
	$(BIN)/pytest -m gpu

bench: $(BIN)/.peers $(BIN)/.camera
	$(BIN)/python bench/latency.py --engine goldstein --engine nasprnet
	$(BIN)/python bench/accuracy.py --engine goldstein --engine nasprnet
	$(BIN)/python bench/holograms.py
	$(BIN)/python bench/streaming.py
	$(BIN)/python bench/camera.py

bench-gpu: $(BIN)/.tensorrt $(BIN)/.peers
	mkdir -p build
	cp models/weights/nasprnet.onnx build/nasprnet.onnx
	$(BIN)/qpi compile build/nasprnet.onnx -o build/nasprnet.trt
	$(BIN)/python bench/latency.py $(addprefix --engine ,$(GPU_ENGINES)) --json bench/results/latency-gpu.json

# The virtual off-axis camera, for any GenICam program; needs a C compiler.
virtual-camera: $(BIN)/.serve
	$(BIN)/python -m qpi_live.camera.virtual_gentl.build build/virtual-camera.cti

clean:
	rm -rf $(VENV) build dist *.egg-info
