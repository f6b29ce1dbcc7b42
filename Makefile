# `make demo` runs the whole workflow on the embedded data set, `make test` the tests. Both install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHELL := /bin/bash
# Whole workflows take minutes; a shorter test that hangs is ended after five.
PATIENT := -o faulthandler_timeout=1800

.PHONY: help demo plan test test-all test-gpu gpu faults lint docs mutants mutants-of slurm browser clean-runs

help:
	@echo "demo        the whole workflow on the embedded data set, up to results/report.html"
	@echo "plan        what a study costs before it starts: CONFIG=config/multibn.yaml"
	@echo "test        the tests"
	@echo "test-all    also the slow ones, and those with a private SLURM"
	@echo "test-gpu    the tests that need a CUDA device"
	@echo "gpu         ten minutes on a GPU: correctness and rates"
	@echo "faults      kills at random moments, damaged results: N=200 for more"
	@echo "lint        style and types"
	@echo "docs        the documentation as a site in site/"
	@echo "mutants     mutation testing (hours)"
	@echo "mutants-of  mutation testing of one room: ROOM=defenses"
	@echo "slurm       packages for the SLURM profile"
	@echo "browser     packages for the tests of the report and the documentation in Chromium"
	@echo "clean-runs  deletes finished models of earlier configurations"

# One line of progress; the whole log is in results/logs/demo.log. Then the first table in short, and what is doubtful.
demo: $(VENV)/.installed
	@set -o pipefail; $(BIN)/snakemake --cores all 2>&1 | $(BIN)/python -m pipeline_lib.reporting.progress results/logs/demo.log
	@$(BIN)/python -m pipeline_lib.reporting.ending results

# What a study costs before it starts: `make plan CONFIG=config/multibn.yaml PLAN="--gpu a100"`.
plan: $(VENV)/.installed
	$(BIN)/python -m pipeline_lib.plan $(if $(CONFIG),--configfile $(CONFIG)) $(PLAN)

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Also the slow tests, and those with a private SLURM (they need root and Debian's slurm-wlm).
test-all: slurm
	$(BIN)/python -m pytest $(PATIENT) -m "not gpu and not faults"

# On a machine with a CUDA device.
test-gpu: $(VENV)/.installed
	$(BIN)/python -m pytest $(PATIENT) -m gpu

# Kills at random moments, results moved, shared, merged and damaged: some minutes. `make faults N=200` kills 200 times and
# flips 2,000 bits, SEED=1 at other moments and places.
faults: $(VENV)/.installed
	FAULTS=$(or $(N),0) FAULTS_SEED=$(or $(SEED),0) $(BIN)/python -m pytest -o faulthandler_timeout=$(if $(N),0,1800) -m faults tests/test_faults*.py

# Ten minutes on a GPU: correctness, rates, and with GPU_OPTIONS="--cifar10 DIR" CIFAR-10. Needs torch, but no installation.
gpu:
	$(PYTHON) benchmarks/gpu.py --out gpu_results $(GPU_OPTIONS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy

# The documentation as a site in site/: open site/index.html. Dead links and pages without a menu entry are errors.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet

# Mutation testing: changes one expression at a time; some test should fail. Takes hours on one core, and can be resumed.
# `make mutants MUTANTS='pipeline_lib.attacks.*'` reruns some of them. See CONTRIBUTING.md and tests/mutants.md.
mutants: $(VENV)/.mutants
	OMP_NUM_THREADS=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 nice -n 15 $(BIN)/mutmut run --max-children 1 $(if $(MUTANTS),'$(MUTANTS)')
	$(BIN)/python tests/mutants.py

# The same of one room or module in minutes, by a program of the project's own: `make mutants-of ROOM=defenses`.
mutants-of: $(VENV)/.installed
	OMP_NUM_THREADS=1 nice -n 15 $(BIN)/python tests/quick_mutants.py --room $(ROOM)

# Additional packages for the SLURM profile; pyproject.toml explains why they are separate.
slurm: $(VENV)/.slurm

# Packages for tests/test_browser.py, which is skipped without them and Chromium (Debian: apt install chromium). Then
# `.venv/bin/python -m pytest -m slow tests/test_browser.py`.
browser: $(VENV)/.browser

# Run folders keep finished models of earlier configurations, so that returning to one costs nothing.
clean-runs:
	rm -rf results/.runs

# The packages installed last are oracles of tests/test_libraries.py. They pin old versions of shared packages, which
# they do not need.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or later is needed: make PYTHON=python3.12"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[test]"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps torchattacks foolbox eagerpy statsmodels patsy
	touch $@

$(VENV)/.slurm: $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[slurm]"
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[docs]"
	touch $@

$(VENV)/.browser: $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[browser]"
	touch $@

$(VENV)/.mutants: $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[mutants]"
	touch $@
