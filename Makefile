# make demo    sets itself up, then runs the whole system on this machine until Ctrl-C
# make test    sets itself up, then checks style and types and runs every test
# make bench   runs every benchmark
# make faults  runs every scenario of the fault rig in its long form (hours), and writes docs/reliability.md
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test lint types bench faults screenshots lock servers clean

install: .venv/installed

.venv/installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tidegate needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

demo: install
	$(BIN)/tidegate demo

# Real servers and a real browser, for the tests and benchmarks only.
servers:
	scripts/install-servers

test: install servers lint types
	$(BIN)/python -m pytest $(PYTEST)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

bench: install servers
	for name in $$($(BIN)/python -m benchmarks --list); do $(BIN)/python -m benchmarks $$name || exit 1; done

faults: install servers
	for name in $$($(BIN)/python -m tests.faults --list); do \
		$(BIN)/python -m tests.faults $$name --page docs/reliability.md || failed=1; done; exit $${failed:-0}

# Of a hub that runs already, at URL.
screenshots: install servers
	$(BIN)/python docs/make_screenshots.py $(or $(URL),http://127.0.0.1:8080)

# After a change of the dependencies in pyproject.toml.
lock: install
	$(BIN)/uv pip compile --quiet --no-emit-index-url --no-header --upgrade --extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
