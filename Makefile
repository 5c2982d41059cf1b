# The course in a few commands. Each installs what it needs first; only Python 3.11+, make and git must be there.
#
#   make book      execute the chapters and build the site       make test     install test tools, check everything
#   make serve     show the built site on this computer          make lab      open the chapters in JupyterLab
#   make format    normalise notebooks and code                  make clean    remove what was made (not .venv)
#   make claims    run the chapters under other processors, threads and seeds, and list what fails
#   make colab-test   run the course on Google Colab's packages (needs Python 3.13, a network and some GB)
#   make install   only install                                  make help     this list
#
#   PYTHON=/path/to/python3.11   another Python (before the first installation)
#   PORT=8001                    another port for `make serve`
#   TORCH=cpu                    PyTorch without NVIDIA's libraries (before the first installation; Linux)
#
# The installation takes about 6.7 GB of disk on Linux, 60 % of it for NVIDIA GPUs, which TORCH=cpu saves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOG := $(VENV)/install.log
SITE := _build/html/index.html
PORT ?= 8000
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
ifeq ($(TORCH),cpu)
# Its versions (2.15.0+cpu) fit constraints.txt (2.15.0), and pip prefers them as the newer ones.
export PIP_EXTRA_INDEX_URL := $(PIP_EXTRA_INDEX_URL) https://download.pytorch.org/whl/cpu
else ifneq ($(TORCH),)
$(error expected TORCH=cpu or no TORCH, found TORCH=$(TORCH))
endif

# $(call step,NAME,COMMAND): one line with its time; what it says goes to the log, whose end is shown if it fails.
step = @start=$$(date +%s); $(2) >> $(LOG) 2>&1 || { exec >&2; tail -n 20 $(LOG); \
	echo "error: expected \"$(1)\" to succeed, it failed; its last lines stand above, all of them in $(LOG)"; exit 1; }; \
	echo "$(1): $$(( $$(date +%s) - start )) s"
pip = $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: help install book test claims colab-test serve lab clean format
.DEFAULT_GOAL := help

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.installed book/_static/vendor

$(VENV)/.installed: requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: expected Python 3.11 or newer, found " + sys.version.split()[0] + "; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)")'
	@$(PYTHON) -c 'import platform, sys; sys.exit((sys.platform, platform.machine()) == ("darwin", "x86_64") and "error: expected Linux or a Mac with Apple silicon (an arm64 Python), found x86_64: PyTorch is no longer made for Intel Macs; use Colab or a Linux machine")'
	@$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): about 6.7 GB on Linux (TORCH=cpu: less than 3 GB), some minutes; log: $(LOG)"
	$(call step,installed,$(pip) -r requirements.txt)
	@touch $@

$(VENV)/.installed-test: requirements-test.txt $(VENV)/.installed
	$(call step,installed what the tests need,$(pip) -r requirements-test.txt)
	@touch $@

book/_static/vendor: package-lock.json tools/assets.py $(VENV)/.installed
	$(call step,front-end assets,{ $(BIN)/npm ci --ignore-scripts --no-fund --no-audit --loglevel=error && $(BIN)/python -m tools.assets; })

book: install
	@$(BIN)/python -m tools.build_book

test: install $(VENV)/.installed-test
	@$(BIN)/python -m tools.check

colab-test:
	@$(PYTHON) -m tools.colab_test

claims: install
	@$(BIN)/python -m tools.claims

serve:
	@test -f $(SITE) || { echo "no site yet: it is built first"; $(MAKE) book || test -f $(SITE); }
	@$(firstword $(wildcard $(BIN)/python) $(PYTHON)) -m tools.serve $(PORT)

lab: install
	@$(BIN)/python -m tools.lab

format: install
	$(BIN)/python -m tools.notebooks format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf _build .pytest_cache .ruff_cache
