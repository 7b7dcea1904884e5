# Needs Python 3.11 or later, git and make. Every target that needs .venv creates it first.

PYTHON ?= python3
PROFILE ?= full
LAB ?=
JOBS ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)

BIN := .venv/bin
UV := $(BIN)/uv
# One stamp for each half of the set-up, written when it is complete.
INSTALLER := .venv/.installer-ready
READY := .venv/.ready

# A caller's shell may carry settings that send packages elsewhere or leave some out; only those
# that say how to reach the network and where to keep a cache are passed on.
CARRIED := PIP_CACHE_DIR PIP_CERT PIP_CLIENT_CERT PIP_DEFAULT_TIMEOUT PIP_EXTRA_INDEX_URL \
  PIP_FIND_LINKS PIP_INDEX_URL PIP_NO_INDEX PIP_PROXY PIP_RETRIES PIP_TIMEOUT PIP_TRUSTED_HOST \
  UV_CACHE_DIR UV_HTTP_RETRIES UV_HTTP_TIMEOUT UV_LINK_MODE UV_NATIVE_TLS UV_OFFLINE UV_SYSTEM_CERTS
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV
unexport $(filter-out $(CARRIED),$(filter PIP_% UV_%,$(.VARIABLES)))
export UV_PROJECT_ENVIRONMENT := .venv
export UV_NO_MANAGED_PYTHON := 1
# Otherwise every new kernel compiles its imports again.
export UV_COMPILE_BYTECODE := 1

# Scripts in a virtual environment name its path: after a move or a copy, start afresh.
ifneq ("$(shell cat $(READY) 2>/dev/null)","$(CURDIR)")
ifneq ("$(wildcard $(READY))","")
$(shell rm -f $(READY) $(INSTALLER))
endif
endif

.DEFAULT_GOAL := help
.PHONY: help setup verify test test-all bench site lint format lab release lock clean

help: ## list the targets
	@echo "Usage: make TARGET [PYTHON=python3] [PROFILE=full|quick] [JOBS=number] [LAB=options]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## create .venv with the locked versions (the other targets do it when needed)
	@:

verify: $(READY) ## check every claim: run the notebooks, write figures and the ledger
	@$(BIN)/pmdlib verify --profile "$(PROFILE)" --jobs "$(JOBS)"

# A style error does not hide a failing test: both run, and either fails the target.
test: $(READY) ## lint, types and all tests but the slow ones
	@status=0; $(lint) || status=1; \
	$(BIN)/python -m pytest -n "$(JOBS)" -m "not slow" || status=1; exit $$status

test-all: $(READY) ## lint, types and all tests
	@status=0; $(lint) || status=1; \
	$(BIN)/python -m pytest -n "$(JOBS)" || status=1; exit $$status

bench: $(READY) ## measure speed and memory beside what is asked of them, into figures/bench.*
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.bench

site: $(READY) ## build the static site into build/site, from what make verify wrote
	@$(BIN)/pmdlib site

# The processes share the cores; BLAS threads in each would compete with them.
verify test test-all bench site release: export OPENBLAS_NUM_THREADS := 1

define lint
{ $(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check . && $(BIN)/mypy; }
endef

lint: $(READY) ## ruff and mypy
	@$(lint)

format: $(READY) ## let ruff format the code and mend what it can
	@$(BIN)/ruff check --quiet --fix-only . && $(BIN)/ruff format .

# The kernel of this .venv, one BLAS thread as in `make verify`, and figures that are tried out here
# do not replace those of the last verification.
lab: export JUPYTER_PREFER_ENV_PATH := 1
lab: export OPENBLAS_NUM_THREADS := 1
lab: export PMDLIB_FIGURES := $(CURDIR)/.pmdlib/figures
lab: $(READY) ## open JupyterLab on the notebooks
	@$(BIN)/jupyter lab $(LAB) notebooks

# The time in the archives is that of the last commit: the same commit gives the same bytes.
release: export SOURCE_DATE_EPOCH = $(shell git log -1 --format=%ct)
release: export PMDLIB_DIST = dist
release: $(READY) ## build dist/ and try the wheel in a clean environment
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist .
	@$(BIN)/python -m pytest tests/test_release.py

lock: $(INSTALLER) ## resolve pyproject.toml anew into uv.lock
	@$(UV) lock

clean: ## remove .venv and caches
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	@find pmdlib tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLER): requirements-bootstrap.txt
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	  echo "pmdlib needs Python 3.11 or later, and there is no $(PYTHON) here." \
	    "Install it, or name yours: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "pmdlib needs Python 3.11 or later; $(PYTHON) is $$("$(PYTHON)" --version 2>&1)." \
	    "Name a later one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Creating .venv ..."
	@"$(PYTHON)" -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input \
	  --require-hashes --requirement requirements-bootstrap.txt
	@touch $@

# While packages are written neither stamp exists, so an interrupted set-up starts afresh.
# The check needs no network: a lock that agrees with pyproject.toml says so by itself.
$(READY): $(INSTALLER) pyproject.toml uv.lock Makefile
	@$(UV) lock --check --offline --quiet 2>/dev/null || { \
	  echo "uv.lock does not agree with pyproject.toml: run make lock" >&2; exit 1; }
	@echo "Installing the locked packages (a minute the first time) ..."
	@rm -f $(READY) $(INSTALLER)
	@$(UV) sync --frozen --quiet
	@touch $(INSTALLER)
	@printf '%s' "$(CURDIR)" > $@
