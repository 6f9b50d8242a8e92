# Every target prints what it does and stops at the first failure.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help setup demo test test-slow test-chaos test-fuzz test-cluster lint types format clean bench-peer bench-trees bench-growth bench-recovery bench-torch bench-ray bench-gpu bench-scale card soak

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## build .venv with all that tests, examples and benchmarks need

$(STAMP): pyproject.toml constraints.txt
	@echo "== setup: a virtual environment in $(VENV), versions pinned by constraints.txt"
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 10) else "crossgrid needs Python 3.10 or newer, this is " + sys.version.split()[0] + ": call make PYTHON=python3.x setup")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@echo "== setup: compiling the modules, and the kernels for this processor, once"
	$(BIN)/python -m crossgrid.emulator.hosts.warm
	@touch $@
	@echo "== setup: done"

demo: $(STAMP) ## train LeNet5 on the tiles of a described chip, every tile a Ray actor
	@echo "== demo: LeNet5 on the chip demo-128, one Ray actor a tile"
	$(BIN)/python examples/04_lenet5_training.py --dataset digits --backend ray --epochs 12 --results results/demo

test: $(STAMP) ## run the tests
	@echo "== test"
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(STAMP) ## run the long tests
	@echo "== test-slow"
	$(BIN)/python -m pytest -m slow

test-chaos: $(STAMP) ## kill actors a hundred times at random moments, and drivers while they save
	@echo "== test-chaos"
	@mkdir -p results; rm -f results/chaos.jsonl
	CROSSGRID_CHAOS_JSON=results/chaos.jsonl $(BIN)/python -m pytest -m chaos
	$(BIN)/python tests/emulator/tally.py results/chaos.jsonl

test-fuzz: $(STAMP) ## read thousands of spoiled checkpoints, plans, chip files and messages
	@echo "== test-fuzz"
	$(BIN)/python -m pytest -m fuzz

test-cluster: $(STAMP) ## install Ray's dashboard, start a cluster of one node, and hand it an example as a job
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[cluster]'
	$(BIN)/python -m pytest -m slow tests/emulator/test_cluster.py

soak: $(STAMP) ## half an hour with checkpoints, kills and scrapes: memory, descriptors and threads over time
	$(BIN)/python benchmarks/soak.py --json results/soak.json --plot results/soak.png

lint: $(STAMP) types ## check style, types and formatting
	@echo "== lint: ruff"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench-peer: $(STAMP) ## time this project and aihwkit alternately; PEER=DIR is an environment with aihwkit 1.1.0
	@test -n "$(PEER)" || { echo "bench-peer: say where aihwkit is: make bench-peer PEER=DIR"; exit 1; }
	$(BIN)/python benchmarks/bench_peer.py --peer $(PEER) --json results/bench_peer.json

bench-trees: $(STAMP) ## time this checkout against another one that is set up: BEFORE=DIR
	@test -n "$(BEFORE)" || { echo "bench-trees: say where the other checkout is: make bench-trees BEFORE=DIR"; exit 1; }
	$(BIN)/python benchmarks/bench_trees.py --before $(BEFORE) --after . --json results/bench_trees.json

bench-growth: $(STAMP) ## time what a second thread brings, and a second process on a core of its own
	$(BIN)/python benchmarks/bench_growth.py --json results/bench_growth.json

bench-recovery: $(STAMP) ## time steps with and without snapshots for a death; DATA=DIR is where MNIST's files are
	$(BIN)/python benchmarks/bench_recovery.py $(if $(DATA),--data-dir $(DATA)) --json results/bench_recovery.json

bench-torch: $(STAMP) ## time LeNet5's step on tiles beside plain torch's; DATA=DIR is where MNIST's files are
	$(BIN)/python benchmarks/bench_torch.py $(if $(DATA),--data-dir $(DATA)) --json results/bench_torch.json

bench-ray: $(STAMP) ## time tile actors against the same tiles in one process; a table, JSON and a plot
	$(BIN)/python -m crossgrid.emulator.hosts.warm
	$(BIN)/python benchmarks/bench_ray.py --json results/bench_ray.json --plot results/bench_ray.png

bench-scale: $(STAMP) ## a network of a billion crosspoints in stages; 10 GB of memory, 4 GB of disk
	$(BIN)/python benchmarks/bench_scale.py --stages 2 --json results/bench_scale.json

bench-gpu: $(STAMP) ## time tiles on a CUDA card, checked against processors first; a table and JSON
	$(BIN)/python benchmarks/bench_gpu.py --json results/bench_gpu.json

card: ## what a machine with a CUDA card shows in ten minutes, by its own Python: PYTHON=, PARTS=WORD,WORD
	$(PYTHON) benchmarks/card/run.py $(if $(PARTS),--parts "$(PARTS)")

types: $(STAMP) ## check the types
	@echo "== lint: mypy"
	$(BIN)/mypy --package crossgrid

format: $(STAMP) ## rewrite the files in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove everything that was built
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
