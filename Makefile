# Every target makes or updates the environment first; all are safe to repeat.
.DEFAULT_GOAL := help
.PHONY: help setup app start demo sample unsample test check lint bench chaos lock release client webapp clean
PY := .venv/bin/python

help: ## Show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: ## Make the environment: .venv, .venv-fuzz and node_modules
	@scripts/setup

app: # What is needed to run, without what only tests need
	@scripts/setup app

start: app ## Run everything on this machine, with the example agents, until Ctrl-C
	@exec $(PY) -m devhost.stack --after "$(PY) -m examples.register" $(ARGS)

demo: app ## Run the main job once and print what happened
	@$(PY) -m examples.demo

sample: app ## Run everything on a directory of its own, filled with a month of sample data
	@exec $(PY) -m devhost.stack --data .devhost/sample --after "$(PY) -m examples.register && $(PY) -m examples.sample" $(ARGS)

unsample: ## Remove the sample data
	@rm -rf .devhost/sample

test: setup ## Run all tests
	@$(PY) -m pytest -n 2 --dist loadgroup $(ARGS)

lint: setup ## ruff, pyright and the layers
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m pyright
	@.venv/bin/lint-imports --no-logo 2>/dev/null || .venv/bin/lint-imports

check: lint test ## Everything that must hold before a change is merged

bench: setup ## Measure, as ratios (ARGS="runs loader" for some)
	@$(PY) -m benchmarks $(ARGS)

chaos: setup ## Break everything, again and again, for long (ARGS='--storms 10')
	@$(PY) -m tests.chaos $(ARGS)

lock: setup ## Pin what pyproject.toml allows, anew
	@$(PY) -m pip install --quiet uv
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate pyproject.toml -o requirements.txt
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate --group dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate --group fuzz -o requirements-fuzz.txt

release: setup ## Build, tag and note a release (VERSION=0.2.0)
	@$(PY) scripts/release.py $(VERSION) $(ARGS)

client: setup ## Write the Python client's models from the API's description
	@$(PY) -m scripts.client

webapp: setup ## Copy the web app's libraries from npm, as package-lock.json pins them
	@scripts/vendor

clean: ## Remove the environment and all local data
	@rm -rf .venv .venv-fuzz node_modules .devhost .pytest_cache .pytest_tmp .ruff_cache .hypothesis .import_linter_cache
