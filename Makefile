# Everything below sets up what it needs in .venv by itself: Python 3.11, 3.12 or 3.13, git and make are enough.
# Another interpreter: make PYTHON=python3.12 test. Options of the demo: make demo DEMO="--schema v3 --out demo-v3"

ifndef PYTHON
PYTHON := $(or $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo "$$python" && break; done),python3)
endif
BIN := .venv/bin
# A file's tests share what they set up, so they stay in one process. Whole jobs come first, as they are listed, and the
# many quick tests last: the other order leaves one process alone with the dearest files.
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test test-long quality scorecard small-model check format schema docs screenshots readme lock clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Make sample data in an embedded ClickHouse, analyse it, write the report
	@$(PYTHON) requirements/install.py runtime
	@$(BIN)/hansei demo $(DEMO)

test: ## Run the tests, but for the long ones (some minutes on two cores)
	@$(PYTHON) requirements/install.py development
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-long: ## Run the long tests: what the short ones prove, on more data, schemas and faults
	@$(PYTHON) requirements/install.py development
	@$(BIN)/python -m pytest -m long $(SIDE_BY_SIDE)

quality: ## Measure how often findings are right (most of an hour; QUALITY=--quick: some minutes)
	@$(PYTHON) requirements/install.py development
	$(BIN)/python benchmarks/quality/run.py $(QUALITY)

scorecard: ## Measure it on two cores, going on where it was interrupted, and write the figures into README.md
	@$(PYTHON) requirements/install.py development
	$(BIN)/python benchmarks/quality/run.py --jobs 2 $(QUALITY) || test $$? -eq 1
	$(BIN)/python docs/write_scorecard.py

small-model: ## Run the graph against a small real model (the first time compiles llama.cpp: minutes)
	@$(PYTHON) requirements/install.py development
	$(BIN)/python benchmarks/small_model.py

check: ## Lint, types, architecture, then the tests: what CI runs first; test-long follows
	@$(PYTHON) requirements/install.py development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict -p hansei
	$(BIN)/lint-imports --no-cache
	@$(MAKE) --no-print-directory test

format: ## Let ruff repair and format the code
	@$(PYTHON) requirements/install.py development
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

schema: ## Write docs/report.schema.json anew from the report's model
	@$(PYTHON) requirements/install.py runtime
	$(BIN)/python docs/write_schema.py

docs: ## Write docs/detectors.md and docs/questions.md anew from the code
	@$(PYTHON) requirements/install.py runtime
	$(BIN)/python docs/write_detectors.py
	$(BIN)/python docs/write_questions.py

screenshots: ## Make docs/images anew from the demo's report (needs Chromium)
	@$(PYTHON) requirements/install.py development
	$(BIN)/python docs/write_screenshots.py

readme: ## Write what the demo prints into README.md anew
	@$(PYTHON) requirements/install.py runtime
	$(BIN)/python docs/write_readme.py

LOCK = .venv/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-annotate --no-header pyproject.toml

lock: ## Resolve the packages anew and write requirements/*.txt (needs the network)
	@test -x .venv/lock/bin/uv || { $(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet uv; }
	$(LOCK) --group dev --output-file requirements/development.txt
	$(LOCK) --group build --constraints requirements/development.txt --output-file requirements/runtime.txt

clean: ## Remove what the other targets made, the demo's data included
	rm -rf .venv build dist hansei-demo hansei-report .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf src/hansei.egg-info
	find src graph nodes tools tests docs -name __pycache__ -prune -exec rm -rf {} +
