# The course in a few commands. Each makes its own virtual environment first; only Python 3.11+, make and git are needed.
#
#   make book     execute the chapters and build the site       make test     everything that is checked
#   make serve    show the built site on this computer           make lab      open the chapters in JupyterLab
#   make format   normalise notebooks and code                   make clean    remove what was made (not .venv)
#   make colab-test   run the course on Google Colab's packages (needs Python 3.13, a network and some GB)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.PHONY: install book test colab-test serve lab clean format
.DEFAULT_GOAL := book

install: $(VENV)/.installed book/_static/vendor

$(VENV)/.installed: requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "expected Python 3.11 or newer, found " + sys.version.split()[0] + "; run: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt -c constraints.txt
	touch $@

book/_static/vendor: package-lock.json tools/assets.py $(VENV)/.installed
	$(BIN)/npm ci --ignore-scripts --no-fund --no-audit --loglevel=error
	$(BIN)/python -m tools.assets

book: install
	$(BIN)/python -m tools.build_book

test: install
	$(BIN)/python -m tools.check

colab-test:
	$(PYTHON) -m tools.colab_test

serve: book
	@echo "http://localhost:$(PORT) (Ctrl-C ends it)"
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

lab: install
	$(BIN)/jupyter lab book

format: install
	$(BIN)/python -m tools.notebooks format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf _build .jupyter_cache .pytest_cache .ruff_cache
