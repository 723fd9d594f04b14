# Everything here works in a fresh clone: each target makes the .venv that it needs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

# The interpreter that .venv is made with; found when empty.
PYTHON ?=
CONFIG ?= config.example.yaml
LAYERS ?= unit service mongo acceptance browser
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# An interpreter that is gone (the system's Python was replaced) takes its stamps with it.
$(shell [ -x $(BIN)/python ] || rm -f $(VENV)/.demo $(VENV)/.test)

.PHONY: help demo serve test check audit bench format

help: ## this list
	@echo "livesync-bridge: make <target>"
	@awk -F '[:#]+ *' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$NF}' Makefile

demo: $(VENV)/.demo ## an embedded MongoDB, sample data and a live page; prints its address
	@tests/provision.sh mongod
	@exec $(BIN)/livesync-bridge demo $(ARGS)

serve: $(VENV)/.demo ## the service, with CONFIG=config.example.yaml
	@exec $(BIN)/livesync-bridge run -c "$(CONFIG)" $(ARGS)

test: $(VENV)/.test check ## make check, then every test, or those of LAYERS="unit …"
	@tests/provision.sh mongod
	@export CHROMIUM; CHROMIUM=$$(tests/provision.sh chromium)
	for layer in $(LAYERS); do
		echo "== tests/$$layer"
		workers=()
		[ $$layer != acceptance ] || workers=(-n 2 --dist worksteal) # its clients fill one core
		$(BIN)/python -m pytest "tests/$$layer" $${workers[@]+"$${workers[@]}"} $(ARGS) </dev/null
	done
	echo "== all tests passed in $$SECONDS s"

check: $(VENV)/.test ## lint, formatting, types, layers of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(VENV)/.test ## known vulnerabilities in what is installed
	@$(PIP) -e '.[audit]'
	@$(BIN)/python .ci/audit.py

bench: $(VENV)/.test ## the benchmarks; writes docs/performance.md
	@tests/provision.sh mongod
	@exec $(BIN)/python -m benchmarks $(ARGS)

format: $(VENV)/.test ## rewrite the code as ruff formats it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@python=$$(PYTHON="$(PYTHON)" tests/provision.sh python)
	rm -rf $(VENV)
	"$$python" -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "Installing livesync-bridge into $(VENV)"
	$(PIP) -e '.[demo]'
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "Installing livesync-bridge and its test tools into $(VENV)"
	$(PIP) -e '.[demo,test]'
	touch $@ $(VENV)/.demo

.ONESHELL:
