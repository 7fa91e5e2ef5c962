# Every target sets up .venv first. `make help` lists what there is.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
GENERATED := README.md docs/*.md designs/README.md designs/*/README.md

# No telemetry leaves the machine (see README).
export RAY_USAGE_STATS_ENABLED ?= 0
export MLFLOW_DISABLE_TELEMETRY ?= true
export ORT_DISABLE_TELEMETRY ?= 1
export DO_NOT_TRACK ?= 1

.PHONY: help setup demo check format test test-unit test-integration mlflow stack constraints proto clean drill-selftest drill-catalogue
.PHONY: bench-train bench-fraud bench-vision bench-serve bench-faults bench-overload bench-autoscale bench-issues
.PHONY: bench-twin bench-nodes bench-predict
.PHONY: bench-parts bench-variants evidence

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(STAMP)  ## create .venv and install the pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"Python 3.11 or newer is needed, this is {v[0]}.{v[1]}; name one with PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## train, serve and drill both example systems
	$(BIN)/drillyard demo

check: $(STAMP)  ## format, lint, types, import rule, generated docs and manifests, the designs' numbers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/cog --check $(GENERATED)
	$(BIN)/drillyard design verify --quiet
	$(BIN)/drillyard k8s render --check

format: $(STAMP)  ## put format, lint fixes and generated docs right
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/cog -r $(GENERATED)
	$(BIN)/drillyard k8s render

evidence: $(STAMP)  ## renew the designs' evidence and numbers from docs/results; ARGS=--measure times the ratios again
	$(BIN)/drillyard design collect --rewrite $(ARGS)
	$(BIN)/cog -r $(GENERATED)

test: test-unit test-integration  ## the whole required suite

test-unit: $(STAMP)  ## fast tests, no services
	$(BIN)/pytest -q -n auto -m 'not integration and not optional'

test-integration: $(STAMP)  ## tests that start Ray, MLflow, Serve and Locust
	@# A process each: Ray and MLflow keep settings for a whole process.
	set -e; for part in drillyard loadtests pipelines serving stores; do \
	  $(BIN)/pytest -q -m 'integration and not optional' --durations=5 tests/$$part; \
	done

mlflow: $(STAMP)  ## MLflow's page on this folder's runs, at http://127.0.0.1:5000
	$(BIN)/mlflow server --backend-store-uri 'sqlite:///$(CURDIR)/.drillyard/mlflow.db' --host 127.0.0.1 --port 5000

stack: $(STAMP)  ## MLflow on PostgreSQL and S3, and Redis for Ray, until Ctrl-C (needs postgresql and redis-server)
	$(BIN)/drillyard stack $(ARGS)

bench-train: $(STAMP)  ## Ray Train against torchrun and against a naive loop
	$(BIN)/python -m pipelines.bench_train

bench-fraud: $(STAMP)  ## five seeds of the fraud model, baselines beside; ARGS="--recipe unfiltered" for another recipe
	$(BIN)/python -m pipelines.bench_model fraud $(ARGS)

drill-catalogue: $(STAMP)  ## every drill for every system (45 minutes, more on a busy machine), into docs/results
	$(BIN)/drillyard drill all --out docs/results $(ARGS)

drill-selftest: $(STAMP)  ## the load generator and its recorder against known faults
	$(BIN)/python -m loadtests.selftest

bench-faults: $(STAMP)  ## kill and freeze what serves, under load; what was lost, and for how long
	$(BIN)/python -m loadtests.bench.faults $(ARGS)

bench-nodes: $(STAMP)  ## three nodes in network namespaces (needs root, redis-server): lose one under load, the head, one that trains
	$(BIN)/python -m loadtests.bench.nodes $(ARGS)

bench-overload: $(STAMP)  ## goodput at twice the capacity, and how fast the rest is refused
	$(BIN)/python -m loadtests.bench.overload $(ARGS)

bench-predict: $(STAMP)  ## tables beyond memory: scoring against onnxruntime in process, and training from files
	$(BIN)/python -m pipelines.bench_predict $(ARGS)

bench-issues: $(STAMP)  ## known production failures, broken and mended, such as ARGS="--issues retry-storm"
	$(BIN)/python -m loadtests.bench.issues $(ARGS)

bench-twin: $(STAMP)  ## the twin's predictions beside measurements that it was not calibrated on
	$(BIN)/python -m designs.twin.bench $(ARGS)

bench-autoscale: $(STAMP)  ## how fast replicas follow a tenfold step of the load
	$(BIN)/python -m loadtests.bench.autoscale $(ARGS)

bench-vision: $(STAMP)  ## accuracy and time of a vision recipe, such as ARGS="--recipe cifar --data-dir FOLDER"
	$(BIN)/python -m pipelines.bench_model vision $(ARGS)

bench-parts: $(STAMP)  ## what each part of fast training gives: the loop without it over the loop with all
	$(BIN)/python -m pipelines.bench_parts $(ARGS)

bench-variants: $(STAMP)  ## quality of the recipes that the designs weigh against each other
	set -e; for recipe in base small deep coarse base-int8; do \
	  $(BIN)/python -m pipelines.bench_model vision --recipe $$recipe --seeds 2 $(ARGS); \
	done
	set -e; for recipe in large single; do \
	  $(BIN)/python -m pipelines.bench_model fraud --recipe $$recipe $(ARGS); \
	done

bench-serve: $(STAMP)  ## the server against others (needs wrk), such as ARGS="--servers drillyard-2,fastapi"
	$(BIN)/python -m serving.bench $(ARGS)

proto: $(STAMP)  ## renew the gRPC messages from serving/grpc/open_inference.proto
	$(BIN)/python -m serving.grpc.generate

constraints: $(STAMP)  ## renew constraints.txt from .venv
	(printf '# The tested tree. torch has no local suffix, so that a CPU and a CUDA build both satisfy it.\n# Renew with: make constraints\n'; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//') > constraints.txt

clean:  ## delete .venv and .drillyard; downloads stay in the user's cache
	rm -rf $(VENV) .drillyard
