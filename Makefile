# Two commands do all the set-up on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
DEMO_DATA := market1501:$(DEMO)/data

.PHONY: help demo test lint clean
.NOTPARALLEL:
unexport PYTHONHOME PYTHONPATH

help:  ## Say what there is.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

demo: $(VENV)/.installed  ## Render people, train ConvNeXt-AP on them, evaluate it, search, report; about five minutes on 2 cores.
	$(BIN)/passerby synth --out $(DEMO)/data --identities 240 --cameras 4 --images 4 --seed 3
	$(BIN)/passerby data stats $(DEMO_DATA)
	rm -rf $(DEMO)/run $(DEMO)/people
	$(BIN)/passerby train --recipe demo --data $(DEMO_DATA) --out $(DEMO)/run
	$(BIN)/passerby evaluate $(DEMO)/run --rerank k-reciprocal --open-set
	$(BIN)/passerby enroll $(DEMO)/people --data $(DEMO_DATA) --model $(DEMO)/run
	$(BIN)/passerby search $(DEMO)/people --image $(DEMO)/data/query/0001_c1s1_000000_01.jpg --not-camera c1 --top 5 \
		--open $(DEMO)/search.png
	$(BIN)/passerby report $(DEMO)/run --out $(DEMO)/report.html
	@echo
	@echo "Open $(DEMO)/report.html: rank lists, heatmaps, CMC; every score with its rules: $(DEMO)/run/scores.json"
	@echo "Ask more: $(BIN)/passerby identify $(DEMO)/people --image $(DEMO)/data/query/0001_c2s1_000000_01.jpg"
	@echo "Now yours: $(BIN)/passerby train --recipe lab-atto --data market1501:/path/to/Market-1501 --out runs/mine"
	@echo "           $(BIN)/passerby enroll people --images /path/to/crops --camera door --model runs/mine"

test: $(VENV)/.installed-dev  ## Run the tests.
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.installed-dev  ## Lint, formatting, types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## Remove what make made.
	rm -rf $(VENV) $(DEMO)

# A stamp and not .venv/bin/python, which is there before pip is: an interrupted set-up is taken up again.
$(VENV)/.made:
	@command -v "$(PYTHON)" > /dev/null || \
		{ echo "$(PYTHON) is not there; install Python 3.11 or newer, or say where it is: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11; say which one to use: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2> /dev/null || \
		{ echo "$(PYTHON) has no venv module; on Debian: apt install python3-venv"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	@echo "Setting up $(VENV), once; PyTorch is a large download"
	$(BIN)/python -m pip install --editable ".[train,report]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.made
	@echo "Setting up $(VENV), once; PyTorch is a large download"
	$(BIN)/python -m pip install --editable ".[dev]"
	@touch $@ $(VENV)/.installed
