# Everything a person or a machine does here. `make demo` and `make test` need only python3 and a package registry.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Twice as many as there are cores: half of the tests wait, for pods, hubs and deadlines.
WORKERS ?= $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

# Bytecode is kept, whatever the environment says: the tests start hundreds of processes, and each would compile anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-system test-kills lint bench schema clean

help:  ## what there is to do
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# uv makes the environment faster where it is installed; without it python3's own venv and pip do the same.
define environment
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
	  uv pip install --quiet --python $(BIN)/python -e '.[$(1)]'; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(1)]'; \
	fi
	@touch $@
endef

$(VENV)/.ready: pyproject.toml
	$(call environment,dev)

$(VENV)/.ready-system: $(VENV)/.ready
	$(call environment,system)

demo: $(VENV)/.ready  ## the whole story on this machine, with real weights
	@$(BIN)/provision demo

test: $(VENV)/.ready  ## all tests that need nothing but python3 (and, where it is there, gcc)
	$(BIN)/python -m pytest -q -m "not system" -n $(WORKERS) --dist loadfile
	@echo "left out: tests marked system, which need Debian packages or root (make test-system)"

# Only the files that say so themselves are read: all of them, in each worker, take half a minute of two cores.
test-system: $(VENV)/.ready-system  ## tests that need Debian packages or root (.ci/run installs them)
	$(BIN)/python -m pytest -q -m system -n $(WORKERS) --dist loadfile $$(grep -l mark.system tests/test_*.py)

test-kills: $(VENV)/.ready  ## 200 fills killed at random bytes, with several streams open (20 minutes; PROVISION_TEST_SEED repeats them)
	PROVISION_TEST_KILLS=$${PROVISION_TEST_KILLS:-200} $(BIN)/python -m pytest -q -s -n0 tests/test_transfer_kill.py -k killed_at_any_byte

lint: $(VENV)/.ready  ## ruff, and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.ready  ## speed and memory, as ratios against peers in one run (25 minutes; aria2c, curl, and root for a far link, where there)
	$(BIN)/python benchmarks/run.py

schema: $(VENV)/.ready  ## write docs/manifest.schema.json anew
	$(BIN)/python -m provision.manifest.schema > docs/manifest.schema.json

clean:  ## remove what make made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
