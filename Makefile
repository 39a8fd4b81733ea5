# Every verb sets up .venv first, once: the stamp in it is older than pyproject.toml or
# constraints.txt only when one of them has changed.
#   make VERB [DATASET=glyphs|fashion_mnist|...] [PYTHON=python3.12] [VENV=.venv] [WORKERS=2]

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
export TIMEFORMAT := (%0R s)

DATASET ?= glyphs
VENV ?= .venv
WORKERS ?= 2
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMP := $(VENV)/.stamp

# The first Python on the PATH that is new enough.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,\
	$(shell $(python) -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo $(python))))

.PHONY: help setup demo test check format-check lint types imports pairs pytest format notebooks \
	notebook-times soak lab voila site pictures weights clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with all that hbnlab needs (6.3 GiB; the other verbs do it too)

# A .venv that works is kept, whatever Python made it: another one would mix the two.
$(STAMP): pyproject.toml constraints.txt
	@"$(PY)" -c 'import pip; $(NEW_ENOUGH)' 2>/dev/null || { \
		python="$(PYTHON)"; "$${python:-false}" -c '$(NEW_ENOUGH)' 2>/dev/null || { \
			echo "hbnlab needs Python 3.11 or newer, found" \
				"$$("$${python:-python3}" --version 2>&1 | head -n 1)."; \
			echo "Install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; \
			exit 1; }; \
		"$$python" -m venv "$(VENV)" || { \
			echo "Python's venv is missing; on Debian and Ubuntu: apt install python3-venv"; \
			exit 1; }; }
	@echo "Installing hbnlab and what it needs into $(VENV); this happens once."
	@time $(PY) -m pip install --disable-pip-version-check -c constraints.txt -e ".[all]"
	@touch $@

demo: $(STAMP) ## train Gran-HBN on DATASET (glyphs), print the table, write runs/demo/
	@$(BIN)/hbnlab demo --dataset $(DATASET)

test: check pytest ## everything that CI runs

check: format-check lint types imports ## the checks that run no code: seconds

format-check: $(STAMP)
	@time $(BIN)/ruff format --check .

lint: $(STAMP) ## ruff check
	@time $(BIN)/ruff check .

types: $(STAMP) ## pyright on the package
	@time $(BIN)/pyright --pythonpath $(PY)

imports: $(STAMP) ## who may import whom
	@time $(BIN)/lint-imports

pairs: $(STAMP) ## notebooks and tutorials say the same
	@$(PY) -m pytest -q tests/test_pairs.py

# The package is named: with a bare --cov nbval waits for each kernel in vain. Each worker computes
# on one thread, so that two of them do not wait for each other's threads.
pytest: $(STAMP) ## tests and notebooks in WORKERS processes, with coverage and the slowest tests
	@OMP_NUM_THREADS=1 $(PY) -m pytest --nbval --numprocesses=$(WORKERS) --cov=hbnlab \
		--cov-report=term --durations=15

format: $(STAMP) ## let ruff rewrite what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# The text wins whatever the clocks say; outputs are made again from nothing.
notebooks: $(STAMP) ## make notebooks/*.ipynb again from tutorials/*.py, with their outputs
	@for text in tutorials/*.py; do \
		notebook=notebooks/$$(basename "$$text" .py).ipynb; \
		$(BIN)/jupytext --quiet --update --to ipynb --output "$$notebook" "$$text"; \
		time timeout 600 $(BIN)/jupyter nbconvert --log-level=WARN --to notebook --execute \
			--inplace --ExecutePreprocessor.timeout=300 \
			--ExecutePreprocessor.record_timing=False \
			--ExecutePreprocessor.store_widget_state=False "$$notebook"; \
	done

notebook-times: $(STAMP) ## measure the notebooks, write times and how to run them into their headers
	@$(PY) tools/notebook_headers.py

soak: $(STAMP) ## the series twice from clean kernels, as handed out and solved; times compared
	@$(PY) tools/soak.py

# In a container one is often root, where Jupyter asks to be told so.
lab: $(STAMP) ## open JupyterLab on the notebooks
	@$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks \
		$(if $(filter 0,$(shell id -u)),--allow-root)

voila: $(STAMP) ## serve notebook 09 as an app, without its code
	@$(BIN)/voila notebooks/09_*.ipynb

site: $(STAMP) ## build the book into site/, without the network
	@time $(PY) tools/make_book.py
	@echo "open site/index.html"

pictures: $(STAMP) ## take pictures of the widgets, in a browser, into docs/pictures/
	@$(PY) tools/pictures.py

weights: $(STAMP) ## train the bundled weights again (long)
	@$(PY) tools/make_weights.py

clean: ## remove what the tools leave; keeps .venv and runs
	@rm -rf build dist site .site-* jupyter_execute .ipynb_checkpoints *.egg-info .coverage* \
		.pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find hbnlab tests tools benchmarks docs tutorials notebooks -type d \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
