# `make demo` and `make test` set up .venv and need Python 3.11 or newer with venv, and no other package.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEVICE ?= cuda
DEMO := demo
DEMO_DATA := market1501:$(DEMO)/data
OLDEST_TESTS := tests/data tests/evaluation tests/openset tests/plots tests/reviewing tests/runtime tests/test_files.py \
	tests/test_fuzz.py tests/ranking/test_rank.py tests/ranking/test_rerank.py tests/gallery/stores \
	$(patsubst %,tests/gallery/test_%.py,cluster crops forget identify parquet review reviewers sightings)

OLDEST := build/oldest/.installed

.PHONY: help demo gpu-check test test-milvus test-oldest lint wheel clean
.NOTPARALLEL:
unexport PYTHONHOME PYTHONPATH

help:  ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

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
	@echo "Identify:  $(BIN)/passerby identify $(DEMO)/people --image $(DEMO)/data/query/0001_c2s1_000000_01.jpg"
	@echo "Your data: $(BIN)/passerby train --recipe lab-atto --data market1501:/path/to/Market-1501 --out runs/mine"
	@echo "           $(BIN)/passerby enroll people --images /path/to/crops --camera door --model runs/mine"

gpu-check: $(VENV)/.installed-dev  ## Check training, ranking and export on a GPU, under ten minutes; DEVICE=cpu for a smaller check.
	@mkdir -p build
	$(BIN)/passerby selftest --device $(DEVICE) --out build/selftest-$(subst :,-,$(DEVICE)).json

test: $(VENV)/.installed-dev  ## Run the tests and list the slowest files.
	$(BIN)/python -m pytest -n auto --dist loadfile --max-worker-restart 0  # a crashed worker fails its test; pytest ends

test-milvus: $(VENV)/.installed-dev  ## Run the gallery's tests on a Milvus server; Linux, in a network namespace (root).
	unshare --net sh -c 'ip link set lo up && exec $(BIN)/python -m pytest tests/gallery -k "milvus or server"'

$(OLDEST): pyproject.toml constraints/oldest.txt $(shell find src -type f -not -path '*/__pycache__/*') | $(VENV)/.made
	"$(PYTHON)" -m venv --clear build/oldest
	build/oldest/bin/python -m pip install --quiet --only-binary :all: --constraint constraints/oldest.txt ".[eval,report]" \
		filelock hypothesis pytest pytest-timeout pytest-xdist
	@touch $@

test-oldest: $(OLDEST)  ## Install the oldest versions that work, without PyTorch, and run the tests that need no training.
	CI= build/oldest/bin/python -m pytest -n auto --dist loadfile -k "not empties_the_cache" $(OLDEST_TESTS)  # without the extras of some tests
	rm -rf build/oldest-people build/oldest-gallery build/oldest-evaluation
	build/oldest/bin/passerby synth --out build/oldest-people --identities 8 --cameras 2 --images 2 --seed 0
	build/oldest/bin/passerby evaluate default --data market1501:build/oldest-people --out build/oldest-evaluation
	build/oldest/bin/passerby enroll build/oldest-gallery --data market1501:build/oldest-people
	build/oldest/bin/passerby cluster build/oldest-gallery
	build/oldest/bin/passerby identify build/oldest-gallery --image build/oldest-people/query/0001_c1s1_000000_01.jpg

lint: $(VENV)/.installed-dev  ## Check lint, formatting and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: | $(VENV)/.made  ## Build the wheel, install it in a fresh environment without PyTorch and run it there.
	rm -rf dist build/wheel
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .
	"$(PYTHON)" -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet dist/passerby-*.whl
	cd build/wheel && bin/passerby --version && bin/python ../../tools/try_base_install.py

clean:  ## Remove the files that make created.
	rm -rf $(VENV) $(DEMO) dist build

# The stamp is written after pip is in the environment; .venv/bin/python exists before. An interrupted set-up is repeated.
$(VENV)/.made:
	@command -v "$(PYTHON)" > /dev/null || \
		{ echo "$(PYTHON) was not found; install Python 3.11 or newer, or give its path: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11; give the path of a newer one: make PYTHON=/path/to/python3.11"; exit 1; }
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
