# The two commands a newcomer needs: `make run` and `make test`. Only Python 3.11 and make are assumed.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run test prove prove-serve bench accuracy docs lint lock clean
.DEFAULT_GOAL := run

$(READY): pyproject.toml requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(READY)

run: $(READY)
	@$(BIN)/tokenworks run examples/agents.yaml --plan examples/plans/tokens.yaml

test: $(READY)
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -n 2 --dist worksteal

prove: $(READY)
	@$(BIN)/python benchmarks/prove.py

prove-serve: $(READY)
	@$(BIN)/python benchmarks/gateway_prove.py $(PARTS)

bench: $(READY)
	@$(BIN)/python benchmarks/run_all.py $(PARTS)

accuracy: $(READY)
	@$(BIN)/tokenworks validate --quiet --page docs/accuracy.md

docs: $(READY)
	@$(BIN)/python -m pytest tests/docs

lint: $(READY)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

lock:
	@uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate --group dev pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) out build dist
