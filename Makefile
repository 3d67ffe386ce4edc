# Everything works in .venv inside the checkout; `make` alone lists the targets.
# PYTHON=python3.12 chooses the interpreter; T='-k backfill' is passed to pytest.

VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/dev.txt
T ?=
SEED ?= 0
HISTORIES ?=

# The lock holds for the packages and for what builds ours.
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$(LOCK) PIP_BUILD_CONSTRAINT=$(LOCK) \
	$(BIN)/python3 -m pip install --quiet --no-warn-script-location
PYTEST := $(BIN)/python3 -m pytest
# Else every run of the tests, and each of its processes, compiles them anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-peers check fmt lint types imports cover soak soak-short fuzz lab-checks bench bench-check bench-peers docs changes lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | while IFS='	' read -r name text; do \
		printf '%-11s %s\n' "$$name" "$$text"; done

# ── the environment ──────────────────────────────────────────────────────────────────────────
# Three stamps: the environment, Ostler in it (enough for the demo), and the tools around it.
$(VENV)/.made: scripts/venv.sh
	@sh scripts/venv.sh $(VENV) $(PYTHON)
	@touch $@

HELPER := scripts/compile_helper.py src/ostler/sim/counted.c src/ostler/sim/counted.h
$(VENV)/.ostler: $(VENV)/.made pyproject.toml scripts/ostler $(HELPER) $(LOCK)
	@echo "setting up $(VENV): Ostler"
	@$(PIP) --editable '.[executor]'
	@touch $@

$(VENV)/.dev: $(VENV)/.ostler
	@echo "setting up $(VENV): tools for development"
	@$(PIP) --editable '.[dev]'
	@touch $@

# ── targets ──────────────────────────────────────────────────────────────────────────────────
demo: $(VENV)/.ostler ## analyse the standard library, lose the manager on the way, compare
	$(BIN)/python3 demo/run.py

# Files with real daemons come first, as they are collected, so that short ones are left for the end.
test: $(VENV)/.dev ## run the tests
	$(PYTEST) -n auto --dist loadfile --no-loadscope-reorder -m 'not peer' $(T)

test-peers: bench-peers $(VENV)/.dev ## install other systems and run the tests against them; takes root
	$(PYTEST) -m peer tests/peers $(T)

check: fmt-check lint types imports ## all that needs no run: format, lint, types, imports

fmt: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format .

.PHONY: fmt-check
fmt-check: $(VENV)/.dev
	$(BIN)/ruff format --check .

lint: $(VENV)/.dev ## ruff, all rules
	$(BIN)/ruff check .

types: $(VENV)/.dev ## mypy --strict, tests too
	$(BIN)/mypy

imports: $(VENV)/.dev ## the import direction
	$(BIN)/lint-imports

cover: $(VENV)/.dev ## legal moves of jobs and allocations that no test makes
	@rm -rf .moves
	$(PYTEST) -q -n auto -p tests.moves --ignore tests/e2e --ignore tests/store $(T) || :
	@$(BIN)/python3 -m tests.moves

# A failing history prints the line that replays it alone: make soak SEED=n HISTORIES=1
MINUTES ?= 30
PART ?=
SOAKED = tests/sim $(if $(filter 1,$(HISTORIES)),,tests/property)
soak: $(VENV)/.dev ## look for trouble for MINUTES=30; PART=name for one; SEED=n HISTORIES=n for histories
ifdef HISTORIES
	HYPOTHESIS_PROFILE=soak OSTLER_SEED=$(SEED) OSTLER_HISTORIES=$(HISTORIES) \
		$(PYTEST) -n auto --timeout=0 $(SOAKED) $(T)
else
	$(BIN)/python3 -m tests.soak --minutes $(MINUTES) --seed $(SEED) $(if $(PART),--part $(PART))
endif

soak-short: $(VENV)/.dev ## a little of everything that soak does, four minutes
	$(BIN)/python3 -m tests.soak --minutes 3.5 --seed $(SEED)

fuzz: $(VENV)/.dev ## hostile bursts against real daemons, for MINUTES=30
	$(BIN)/python3 -m tests.soak --part fuzz --minutes $(MINUTES) --seed $(SEED)

# ROW=elements measures one row. What was measured is stored in bench/results.
BENCH = $(BIN)/python3 -m bench $(if $(ROW),--row $(ROW)) $(if $(SHORT),--short)
bench: $(VENV)/.ostler ## measure beside other systems, half an hour; ROW=x for one row, SHORT=1
	$(BENCH)

bench-check: $(VENV)/.ostler ## measure, and show what got slower since bench/results/reference.json
	$(BENCH) --check

bench-peers: $(VENV)/.ostler ## install the systems that the bench compares with; takes root
	$(BIN)/python3 -m bench.peers

ELEMENTS ?= 20000
ONLY ?=
lab-checks: $(VENV)/.dev ## the checks of the issues in a lab of ten nodes; SEED=n ELEMENTS=n ONLY=name
	$(BIN)/python3 -m lab.run --seed $(SEED) --elements $(ELEMENTS) --only '$(ONLY)'

docs: $(VENV)/.dev ## write the pages of the reference that are generated
	$(BIN)/python3 -m ostler.cli.reference > $(VENV)/page && cp $(VENV)/page docs/reference/cli.md
	$(BIN)/python3 -m ostler.store.reference > $(VENV)/page && cp $(VENV)/page docs/reference/database.md
	$(BIN)/python3 scripts/drivers.py > $(VENV)/page && cp $(VENV)/page docs/reference/drivers.md
	$(BIN)/python3 scripts/roles.py > $(VENV)/page && cp $(VENV)/page docs/reference/roles.md
	$(BIN)/python3 scripts/states.py > $(VENV)/page && cp $(VENV)/page docs/reference/states.md

changes: $(VENV)/.dev ## show the changelog of the next release
	$(BIN)/towncrier build --draft --version next

lock: $(VENV)/.dev ## write the versions of a fresh installation to requirements/dev.txt
	@sh scripts/lock.sh $(LOCK)

clean: ## remove .venv and all caches
	rm -rf $(VENV) .moves build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests bench demo -name __pycache__ -type d -prune -exec rm -rf {} +
