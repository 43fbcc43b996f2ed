# `make` shows what there is. GNU Make 3.81 (macOS) and later.

BIN := .venv/bin
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
# The first Python that is new enough; give PYTHON=… for another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python $(NEW_ENOUGH) 2>/dev/null && echo $$python && break; done)
COMPILE := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --upgrade

.DEFAULT_GOAL := help
.PHONY: help install up test prove prove-long check dashboards web lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

install: .venv/installed .venv/web ## everything that is needed: Mosquitto, Python libraries into .venv, browser libraries

up: install ## install, then start it all; options: make up ARGS="--http-port 8080"
	@$(BIN)/sensorflow up $(ARGS)

test: install ## install, then run the tests; a few: make test ARGS="tests/bridge -k spool"
	$(BIN)/pytest $(ARGS)

prove: .venv/installed .venv/system-prove ## inject faults, and print what was lost and doubled; a few: make prove ARGS="R1 R8"
	$(BIN)/python -m tests.faults $(ARGS)

prove-long: .venv/installed .venv/system-prove ## the same with the faults that take long, an hour or more
	$(BIN)/python -m tests.faults --long $(ARGS)

check: install ## what must be clean before every push
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

dashboards: .venv/installed ## write Grafana's dashboards and alert rules anew from the kinds; elsewhere: ARGS="--into DIR"
	$(BIN)/python -m grafana.build $(ARGS)

web: .venv/web ## browser libraries for /docs, /redoc and /asyncapi into http_api/static

lock: ## renew requirements/*.txt from pyproject.toml, with uv; web/package-lock.json from web/package.json, with npm
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --group dev -o requirements/dev.txt
	$(COMPILE) --group pyproject.toml:build -o requirements/build.txt
	$(COMPILE) --group pyproject.toml:web -o requirements/web.txt
	cd web && npm update --save

.venv/installed: .venv/system requirements/dev.txt pyproject.toml
	@echo "installing Python libraries into .venv ..."
	@test -x $(BIN)/python || test -n "$(PYTHON)" || \
		{ echo "Python 3.11 or later is needed: make PYTHON=/path/to/python install" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/web: web/package.json web/package-lock.json web/.npmrc requirements/web.txt | .venv/installed
	@echo "installing browser libraries into http_api/static ..."
	@command -v npm >/dev/null || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/web.txt
	@cd web && PATH="$$PATH:$(CURDIR)/$(BIN)" && npm ci --silent && npm run --silent collect
	@touch $@

.venv/system-prove: requirements/system.sh
	@sh requirements/system.sh "$(PYTHON)" strace:strace
	@mkdir -p .venv
	@touch $@

.venv/system: requirements/system.sh
	@sh requirements/system.sh "$(PYTHON)"
	@mkdir -p .venv
	@touch $@
