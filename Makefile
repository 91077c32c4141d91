# All environments are in .local/, which may be removed at any time (make clean).

# The first Python that is recent enough and works. Select another one with: make PYTHON=/path/to/python3.12 demo
PYTHON_IS_USABLE = -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3.10 python3; do \
    $$python $(PYTHON_IS_USABLE) && echo $$python && break; done)

AIRFLOW_VERSION = 3.3.2
DAY ?= 1998-01-01

LOCAL = .local
UV = $(LOCAL)/bootstrap/bin/uv
VENV = $(LOCAL)/venv
BIN = $(VENV)/bin
AUDIT = $(LOCAL)/audit
DIST_TOOLS = $(LOCAL)/dist-tools

# uv must use the Python found above, and pip's package index unless it has a setting of its own.
export UV_PYTHON_DOWNLOADS = never
WITH_INDEX = index="$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$$($(LOCAL)/bootstrap/bin/pip config get global.index-url 2>/dev/null)}}"; \
    $${index:+env UV_DEFAULT_INDEX="$$index"}
UV_INSTALL = $(WITH_INDEX) $(UV) pip install --quiet --python $(BIN)/python
INSTALL = $(UV_INSTALL) apache-airflow==$(AIRFLOW_VERSION) --editable '.[sandbox,sqlite]'

export AIRFLOW_HOME = $(CURDIR)/$(LOCAL)/airflow

.DEFAULT_GOAL := help
.PHONY: help demo test test-matrix chaos lint docs docs-serve dist audit format bench clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "make %-11s %s\n", $$1, $$2}'

demo: $(VENV)/demo.stamp ## Run an example on a real Airflow against the sandbox (DAY=1998-01-01, KEEP=1)
	@$(BIN)/python scripts/demo.py $(DAY) $(if $(KEEP),--keep)

test: $(VENV)/test.stamp ## Run the tests
	@$(BIN)/python -m pytest -n 2

test-matrix: $(UV) ## Test the wheel on each Airflow, with schedulers, killed processes and Celery (VERSIONS=..., PARTS=...)
	@$(WITH_INDEX) $(LOCAL)/bootstrap/bin/python scripts/matrix.py --versions $(VERSIONS) --parts $(PARTS)

RUNS ?= 1000

chaos: $(VENV)/test.stamp ## Upload RUNS=1000 times with random failures; repeat a run with SEED= and ONLY=
	@PYTHONPATH=tests:. $(BIN)/python -m chaos --runs $(RUNS) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

lint: $(VENV)/test.stamp ## Check style, types, language and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/check_language.py

docs: $(VENV)/docs.stamp ## Build the documentation site in .local/site; warnings are errors
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/python -m mkdocs build
	@echo "The site: $(LOCAL)/site/index.html"

docs-serve: $(VENV)/docs.stamp ## Serve the documentation site, with search, and rebuild it after changes
	@NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/python -m mkdocs serve

dist: $(DIST_TOOLS)/dist.stamp ## Build sdist and wheel, install and test both on each Python, and write the SBOM (STRICT=1)
	@$(WITH_INDEX) $(DIST_TOOLS)/bin/python scripts/dist.py --uv $(UV) --airflow $(AIRFLOW_VERSION) \
	    $(if $(PYTHONS),--pythons $(PYTHONS)) $(if $(STRICT),--strict)

audit: $(AUDIT)/audit.stamp ## Check for insecure code, and for known vulnerabilities of dependencies (PyPI, OSV)
	@$(AUDIT)/bin/bandit --quiet --configfile pyproject.toml --recursive airflow_provider_adobe_target
	@$(UV) pip compile --quiet --python $(AUDIT)/bin/python --no-header --no-annotate \
	    --all-extras --output-file $(AUDIT)/requirements.txt pyproject.toml
	@for service in pypi osv; do \
	    echo "Querying $$service ..."; \
	    $(AUDIT)/bin/pip-audit --strict --vulnerability-service $$service --disable-pip --no-deps \
	        --requirement $(AUDIT)/requirements.txt 2>$(AUDIT)/$$service.log || { \
	        grep -v '^  File\|^Traceback\|^    ' $(AUDIT)/$$service.log | tail -n 3 >&2; \
	        echo "$$service listed the vulnerabilities above, or cannot be reached." >&2; \
	        exit 1; }; \
	done

format: $(VENV)/test.stamp ## Format the code and apply automatic fixes
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

# Each candidate runs in a new process, which must find compiled modules.
bench: export PYTHONDONTWRITEBYTECODE =
bench: export PYTHONPATH = tests
bench: export PYTHONPYCACHEPREFIX = $(CURDIR)/$(LOCAL)/pycache
bench: $(VENV)/bench.stamp ## Measure speed and memory, and plot docs/explanation/performance.svg
	@for benchmark in parsing encoding wide growth sql end_to_end account waiting; do \
	    echo; echo "== $$benchmark"; \
	    $(BIN)/python benchmarks/$$benchmark.py --json $(LOCAL)/bench/$$benchmark.json || exit 1; \
	done
	@$(BIN)/python benchmarks/plots.py $(LOCAL)/bench docs/explanation/performance.svg
	@echo "Results: $(LOCAL)/bench/*.json"

clean: ## Remove all environments
	rm -rf $(LOCAL)

$(UV):
	@"$(PYTHON)" $(PYTHON_IS_USABLE) || { \
	    echo "'$(PYTHON)' is not Python 3.10 or newer with the venv module." >&2; \
	    echo "Select one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Setting up uv in $(LOCAL)/bootstrap ..."
	@rm -rf $(LOCAL)/bootstrap
	@"$(PYTHON)" -m venv $(LOCAL)/bootstrap
	@$(LOCAL)/bootstrap/bin/pip install --quiet --disable-pip-version-check uv

$(VENV)/demo.stamp: pyproject.toml Makefile | $(UV)
	@echo "Installing Airflow $(AIRFLOW_VERSION) and this provider in $(VENV) ..."
	@$(UV) venv --quiet --clear --python $(LOCAL)/bootstrap/bin/python $(VENV)
	@$(INSTALL)
	@touch $@

$(VENV)/test.stamp: $(VENV)/demo.stamp
	@echo "Installing test and lint dependencies ..."
	@$(INSTALL) --group test --group lint
	@touch $@

# A separate environment, so that the audit does not include its own tools.
$(AUDIT)/audit.stamp: VENV = $(AUDIT)
$(AUDIT)/audit.stamp: pyproject.toml Makefile | $(UV)
	@echo "Installing the audit tools in $(AUDIT) ..."
	@$(UV) venv --quiet --clear --python $(LOCAL)/bootstrap/bin/python $(AUDIT)
	@$(UV_INSTALL) --group audit
	@touch $@

$(DIST_TOOLS)/dist.stamp: VENV = $(DIST_TOOLS)
$(DIST_TOOLS)/dist.stamp: pyproject.toml Makefile | $(UV)
	@echo "Installing the release tools in $(DIST_TOOLS) ..."
	@$(UV) venv --quiet --clear --python $(LOCAL)/bootstrap/bin/python $(DIST_TOOLS)
	@$(UV_INSTALL) --group release
	@touch $@

$(VENV)/docs.stamp: $(VENV)/demo.stamp
	@echo "Installing documentation dependencies ..."
	@$(INSTALL) --group docs
	@touch $@

$(VENV)/bench.stamp: $(VENV)/demo.stamp
	@echo "Installing benchmark dependencies ..."
	@$(INSTALL) --group bench
	@touch $@
