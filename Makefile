# Every verb first sets up .venv, unless its stamp is newer than pyproject.toml and constraints.txt.
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

.PHONY: help setup demo test check format-check lint types imports pairs pytest format golden \
	notebooks notebook-times soak lab voila site pictures weights clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .venv (6.3 GiB; the other verbs do it, too)

# A working .venv is kept, whatever Python made it: another Python would mix the two.
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
	@echo "Installing hbnlab and its requirements into $(VENV); this happens only once."
	@time $(PY) -m pip install --disable-pip-version-check -c constraints.txt -e ".[all]"
	@touch $@

demo: $(STAMP) ## train Gran-HBN on DATASET (glyphs), print the table, write runs/demo/
	@$(BIN)/hbnlab demo --dataset $(DATASET)

test: check pytest ## run everything that CI runs

check: format-check lint types imports ## check format, lint, types and imports: seconds

format-check: $(STAMP)
	@time $(BIN)/ruff format --check .

lint: $(STAMP) ## check with ruff
	@time $(BIN)/ruff check .

types: $(STAMP) ## check the types of the package with pyright
	@time $(BIN)/pyright --pythonpath $(PY)

imports: $(STAMP) ## check who imports whom
	@time $(BIN)/lint-imports

pairs: $(STAMP) ## check that notebooks and tutorials are the same
	@$(PY) -m pytest -q tests/test_pairs.py

# --cov names the package because nbval waits for each kernel in vain after a bare --cov. Each worker
# computes on one thread, so that two of them do not wait for each other's threads.
pytest: $(STAMP) ## run tests and notebooks in WORKERS processes; show coverage and slowest tests
	@OMP_NUM_THREADS=1 $(PY) -m pytest --nbval --numprocesses=$(WORKERS) --cov=hbnlab \
		--cov-report=term --durations=15

format: $(STAMP) ## format the code and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

golden: $(STAMP) ## compare decisions, metrics, training and commands with tests/golden.json
	@$(PY) tools/golden.py

# The tutorial is the source, whichever file is newer; all outputs are made again.
notebooks: $(STAMP) ## make the notebooks again from the tutorials, with their outputs
	@for text in tutorials/*.py; do \
		notebook=notebooks/$$(basename "$$text" .py).ipynb; \
		$(BIN)/jupytext --quiet --update --to ipynb --output "$$notebook" "$$text"; \
		time timeout 600 $(BIN)/jupyter nbconvert --log-level=WARN --to notebook --execute \
			--inplace --ExecutePreprocessor.timeout=300 \
			--ExecutePreprocessor.record_timing=False \
			--ExecutePreprocessor.store_widget_state=False "$$notebook"; \
	done

notebook-times: $(STAMP) ## measure the notebooks and write their headers
	@$(PY) tools/notebook_headers.py

soak: $(STAMP) ## run the series twice, as handed out and solved; compare the times
	@$(PY) tools/soak.py

# In a container the user is often root, for whom Jupyter needs an option.
lab: $(STAMP) ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks \
		$(if $(filter 0,$(shell id -u)),--allow-root)

voila: $(STAMP) ## serve notebook 09 as an app
	@$(BIN)/voila notebooks/09_*.ipynb

site: $(STAMP) ## build the book into site/ without the network
	@time $(PY) tools/make_book.py
	@echo "open site/index.html"

pictures: $(STAMP) ## take pictures of the widgets in a browser, into docs/pictures/
	@$(PY) tools/pictures.py

weights: $(STAMP) ## train the bundled weights again (long)
	@$(PY) tools/make_weights.py

clean: ## remove what the tools wrote; keep .venv and runs
	@rm -rf build dist site .site-* jupyter_execute .ipynb_checkpoints *.egg-info .coverage* \
		.pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find hbnlab tests tools benchmarks docs tutorials notebooks -type d \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +
