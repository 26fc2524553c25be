# Everything a user or a developer calls. `make run` and `make test` need nothing else to be done before.
PYTHON = .venv/bin/python
.PHONY: run down test test-fast soak check bench venv

run: venv  ## everything from nothing, the main job shown, then a server until Ctrl-C
	@scripts/cluster .venv/bin/playground run $(ARGS)

down:  ## stop and remove all that `make run` made
	@scripts/down

test: venv  ## everything that proves it, on the development cluster
	@MODEL_EXAMPLES=5200 $(PYTHON) -m pytest -n 2 tests infra/devcluster/tests

test-fast: venv  ## what needs no cluster
	@MODEL_EXAMPLES=40 $(PYTHON) -m pytest -n 3 tests -m "not cluster and not slow" --ignore tests/cluster --ignore tests/end_to_end

soak: venv  ## hours of it: 100,000 stories of the model, and a month of 10,000 simulated users
	@MODEL_EXAMPLES=100000 SIMULATED_USERS=10000 $(PYTHON) -m pytest -n 2 tests/model tests/simulation

check: venv  ## formatting, types, architecture
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy && .venv/bin/lint-imports

bench: venv  ## the table in bench/results.md
	@scripts/cluster $(PYTHON) -m bench

venv:
	@scripts/venv
