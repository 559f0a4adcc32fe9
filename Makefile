# GPUBroker. Needed beforehand: git, make, Python 3.11 or newer with venv. Everything else is fetched, pinned by hash.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test lint env lock bench clean
.DELETE_ON_ERROR:

PYTHON ?= python3
ARGS ?=
UV := .local/bootstrap/bin/uv
BIN := .venv/bin
LOCKS := requirements/base.lock requirements/dev.lock
export UV_PYTHON_DOWNLOADS := never
export UV_NO_PROGRESS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# A virtual environment holds absolute paths: in a checkout that was moved or copied it is made anew.
ifneq ($(shell cat .venv/.created 2>/dev/null),$(CURDIR))
$(shell rm -f .venv/.created .local/bootstrap/.installed)
endif

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /  make \1 \t/p' Makefile | expand -t 16

run: env ## Start everything and print the address (MODE=LIVE, PORT=, NODES=, HOST=, DATABASE_URL=, REDIS_URL=)
	@exec $(BIN)/python -m lib.local.run

test: lint ## Everything that must hold; ARGS="tests/pods -x" goes to pytest, as does "-n 0" (one process)
	$(BIN)/pytest $(if $(findstring no:xdist,$(ARGS)),,-n auto) $(ARGS)

lint: env ## Format, lint, types, layers, migrations, production settings, translations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m lib.local.static_checks

bench: env ## Figures beside their references
	$(BIN)/python -m benchmarks $(ARGS)

env: static/vendor/.copied locale/es/LC_MESSAGES/django.mo ## The Python environment and the browser parts; costs nothing when nothing changed

lock: .local/bootstrap/.installed ## Resolve requirements again (ARGS=--upgrade takes newer versions)
	@for group in bootstrap agent base dev; do \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS) \
	    requirements/$$group.in -o requirements/$$group.lock || exit 1; done
	@if [ -x $(BIN)/npm ]; then $(BIN)/npm install --package-lock-only --ignore-scripts --loglevel=error; fi

clean: ## Remove .local with all data, the environment and the caches (asks first)
	@printf 'Remove .local (all local data), .venv, node_modules and static/vendor? [y/N] '; read answer; [ "$$answer" = y ]
	rm -rf .local .venv node_modules static/vendor .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.local/bootstrap/.installed: requirements/bootstrap.lock
	@set -e; found=; \
	for python in "$(PYTHON)" python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; done; \
	if [ -z "$$found" ]; then \
	  echo 'GPUBroker needs Python 3.11 or newer with venv (Debian, Ubuntu: apt-get install python3-venv), or name one: make PYTHON=/path/to/python3.' >&2; exit 1; fi; \
	echo "Environment: uv"; "$$found" -m venv --clear .local/bootstrap; \
	.local/bootstrap/bin/python -m pip install --quiet --require-hashes -r requirements/bootstrap.lock; \
	touch $@

.venv/.created: | .local/bootstrap/.installed
	@echo "Environment: .venv"
	@$(UV) venv --quiet --clear --python .local/bootstrap/bin/python .venv
	@printf '%s\n' "$(CURDIR)" > $@

.venv/.synced: .venv/.created .local/bootstrap/.installed $(LOCKS)
	@echo "Environment: Python packages"
	@$(UV) pip sync --quiet --require-hashes --python $(BIN)/python $(LOCKS)
	@touch $@

node_modules/.installed: .venv/.synced package.json package-lock.json .npmrc
	@echo "Environment: browser parts"
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --ignore-scripts --loglevel=error
	@touch $@

static/vendor/.copied: node_modules/.installed lib/local/browser_parts.py
	@$(BIN)/python -m lib.local.browser_parts
	@touch $@

locale/es/LC_MESSAGES/django.mo: locale/es/LC_MESSAGES/django.po lib/local/messages.py .venv/.synced
	@$(BIN)/python -m lib.local.messages
