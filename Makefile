# Each target needs only Python >= 3.11, make and the package registries.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP_LAKE := .venv-lake/.foreshore-$(shell cat requirements-lake.lock pyproject.toml | cksum | cut -d' ' -f1)
STAMP := $(VENV)/.foreshore-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)

export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export PYTHONWARNINGS := ignore::DeprecationWarning

.PHONY: help setup lake demo test test-long chaos soak growth extract build docs report bench lint sbom audit hooks clean
.DEFAULT_GOAL := help

help: ## show what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

setup: $(STAMP) ## virtual environment from the hashed lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Foreshore needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Try: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check "uv>=0.13.8,<0.14"
	@UV_COMPILE_BYTECODE=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@rm -f $(VENV)/.foreshore-*; touch $@

lake: setup $(STAMP_LAKE) ## an environment of its own for DuckLake, .venv-lake (docs/scale.md)

$(STAMP_LAKE): requirements-lake.lock pyproject.toml
	@test -x .venv-lake/bin/python || $(PYTHON) -m venv .venv-lake
	@UV_COMPILE_BYTECODE=1 $(BIN)/uv pip install --quiet --python .venv-lake/bin/python --require-hashes -r requirements-lake.lock
	@$(BIN)/uv pip install --quiet --python .venv-lake/bin/python --no-deps --editable .
	@rm -f .venv-lake/.foreshore-*; touch $@

demo: setup ## the whole line on an embedded chain: extract, build, test, docs, result
	@$(BIN)/foreshore demo run

test: setup ## the tests, but for the suites of many minutes
	@$(BIN)/python -m pytest -n 2 --dist loadfile

test-long: setup ## the suites of many minutes: every lie of a node, builds and publications killed at forty points
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m long

chaos: setup ## kill -9 at random steps of every verb that writes, then the other faults; ROUNDS=1000 SEED=17 VERBS="build,publish"
	@FORESHORE_CHAOS_ROUNDS=$(or $(ROUNDS),1000) FORESHORE_CHAOS_SEED=$(or $(SEED),17) FORESHORE_CHAOS_VERBS="$(VERBS)" \
		$(BIN)/python -m pytest -q -m "long or not long" tests/integration/test_chaos.py tests/integration/test_faults.py

soak: setup ## repeated builds, pre-paper sessions and a night, side by side: does anything grow; MINUTES=12
	@$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),60)

growth: setup ## raw data of a real size, built, published and asked; WINGS="voting bars" SHARES="0.1 0.333 1"
	@$(BIN)/python -m benchmarks.growth $(addprefix --wing ,$(WINGS)) $(addprefix --share ,$(SHARES))

extract: setup ## land what is missing, from your providers or (none configured) the embedded world
	@$(BIN)/foreshore demo with extract all $(ARGS)

build: setup ## dbt build, then publish what passed
	@$(BIN)/foreshore build

docs: setup ## static docs site in target/static_index.html
	@$(BIN)/foreshore build --docs

report: setup ## figures of what was published, in data/report (or data/world/report)
	@$(BIN)/foreshore report

bench: setup ## side-by-side benchmarks (minutes)
	@for name in start_up state_reads log_scan sparse_scan voting.line voting.allocation voting.ties voting.backtest voting.rebuilds voting.boundary_night lending.scan lending.panel bars.backtest bars.sweep bars.history bars.pre_paper markets.runs; do $(BIN)/python -m benchmarks.$$name || exit 1; done

lint: setup ## ruff, mypy, import-linter, sqlfluff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache && PYTHONWARNINGS=ignore $(BIN)/sqlfluff lint models analyses tests/data --processes 2 --disable-progress-bar

sbom: ## what it is made of, as CycloneDX, in sbom.json
	@$(PYTHON) .ci/supply.py sbom > sbom.json

audit: ## known vulnerabilities of the locked packages; 3 when the database was out of reach
	@$(PYTHON) .ci/supply.py audit

hooks: setup ## local pre-commit hook that runs make lint
	@printf '#!/bin/sh\nexec make lint\n' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit

clean: ## everything that can be made again
	@rm -rf target logs data $(VENV)
