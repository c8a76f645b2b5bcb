# Two commands are always true: `make demo` and `make test`. Both set up everything they need.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
LOCK := uv pip compile -q --universal --generate-hashes --no-header --no-annotate --no-emit-index-url --python-version 3.11

.PHONY: help demo test test-peers lint bench soak system lock clean

help:
	@echo "make demo        run the whole gateway here, with sample customers, and show it"
	@echo "make test        set up everything and run the tests"
	@echo "make test-peers  the tests that need heavy foreign programs (Postfix, sslyze)"
	@echo "make lint        types, style, import contracts"
	@echo "make bench       measure: throughput, latency, memory"
	@echo "make soak        kill and power-loss cycles, resumable, for hours"
	@echo "make lock        resolve the lock files anew (needs uv)"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "vestibule needs Python 3.11 or newer; this is $$($(PYTHON) -V)"; exit 1; }
	@echo "setting up $(VENV) …"
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	@{ $(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock \
	   && $(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e . ; } \
	   >$(VENV)/setup.log 2>&1 || { tail -n 20 $(VENV)/setup.log; exit 1; }
	@touch $@

# Programs that are not Python's: installed where root and apt are there, named where they aren't.
system:
	@sh tests/system.sh gpg chromium swaks fuse3 openssl

demo: $(READY)
	@sh tests/system.sh gpg
	@$(BIN)/vestibule demo

test: $(READY) system lint
	@$(BIN)/pytest -n 2 --dist loadfile -m "not peers and not soak and not bench"

# Programs that clash with ours, or aren't ours to import, live in an environment of their own.
$(PEERS)/.ready: tests/peers/requirements.lock
	@echo "setting up $(PEERS) …"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --disable-pip-version-check --require-hashes -r tests/peers/requirements.lock \
	   >$(PEERS)/setup.log 2>&1 || { tail -n 20 $(PEERS)/setup.log; exit 1; }
	@touch $@

test-peers: $(READY) $(PEERS)/.ready system
	@sh tests/system.sh postfix
	@$(BIN)/pytest -n 2 --dist loadfile -m peers

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

bench: $(READY)
	@sh tests/system.sh gpg postfix
	@$(BIN)/pytest tests/bench -m bench -s

soak: $(READY)
	@sh tests/system.sh gpg fuse3
	@$(BIN)/pytest -m soak -s --timeout 0

# Four lock files: everything; what a running gateway needs; what builds it; the programs of the peer tests.
lock:
	@command -v uv >/dev/null || { echo "uv is missing: pip install uv"; exit 1; }
	@$(LOCK) pyproject.toml --extra dev -o requirements.lock
	@$(LOCK) pyproject.toml -c requirements.lock -o requirements-run.lock
	@$(LOCK) docker/requirements-build.in -c requirements.lock -o docker/requirements-build.lock
	@$(LOCK) tests/peers/requirements.in -o tests/peers/requirements.lock

clean:
	rm -rf $(VENV) $(PEERS) build *.egg-info var
