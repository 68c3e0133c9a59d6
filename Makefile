# Two commands do everything, their own set-up included: `make run` and `make test`.
# A machine with an NVIDIA driver gets TensorFlow's CUDA libraries too.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRA := $(shell command -v nvidia-smi >/dev/null 2>&1 && echo '[cuda]')
ARGS ?=

.PHONY: run test check docs lab proto wheels clean
.DEFAULT_GOAL := run

run: $(VENV)/.installed
	$(BIN)/gpuprobe run --strategies all --quick $(ARGS)

# A file a core at a time, and four at most, since each training wants memory; in the order of tests/conftest.py, since
# the longest files hold few tests and would come last by number. Byte code is kept, of gpuprobe and of what pytest makes
# of the tests, whatever the environment says: each worker, and each of a thousand children, would compile it again.
test: $(VENV)/.installed-dev
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site of the documentation, into .cache/site. The two switches quiet what the theme's authors say of MkDocs 2, which
# is not installed.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --quiet

# Sessions whose truth is known, simulated and really trained, and how well the diagnosis judges them: some minutes.
lab: $(VENV)/.installed-dev
	$(BIN)/python -m tests.lab $(ARGS)

# protoc 25 writes modules that check no version of protobuf when they are imported.
proto: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet 'grpcio-tools==1.60.*' 'setuptools<80' --target $(VENV)/proto
	PYTHONPATH=$(VENV)/proto $(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. gpuprobe/traces/xplane.proto

# Wheels of gpuprobe and of what a machine with JAX may lack, for one that has no network:
# pip install --no-index --no-deps wheels/*.whl there. WHEELS_FOR is the Python of that machine.
WHEELS_FOR ?= $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
wheels: $(VENV)/.installed
	rm -rf wheels
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir wheels .
	$(BIN)/python -m pip download --quiet --no-deps --only-binary :all: --python-version $(WHEELS_FOR) \
		--platform manylinux_2_28_x86_64 --platform manylinux2014_x86_64 --platform any \
		--dest wheels -r benchmarks/carried.txt
	@du -sh wheels

clean:
	rm -rf $(VENV) wheels

# Byte code is compiled of what is imported, since all of TensorFlow's takes longer than unpacking it; and now, since an
# environment may forbid to write it later, where each start would compile it again: three seconds more for TensorFlow.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --no-compile --editable '.$(EXTRA)'
	-@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c 'import tensorflow' 2>/dev/null
	-@env -u PYTHONDONTWRITEBYTECODE $(BIN)/gpuprobe demo --out $(VENV)/demo >/dev/null && rm -r $(VENV)/demo
	touch $@

# scikit-learn, of which one file of tests has its digits, lies in a folder of its own: Keras imports it wherever it is
# installed, and a third of the start of each training of the tests went into that.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group dev
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/digits --group digits
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group docs
	touch $@
