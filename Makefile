# `make demo` shows it, `make test` proves it; both need only Python 3.11 or newer. Everything lands in .venv.
# What a target needs is installed once and again only when pyproject.toml changes.

BACKEND ?= sqlite
PORT ?=
JOBS ?= 3
BIN := .venv/bin
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.PHONY: demo test quick farm simulate model libraries bench instructions fuzz mutate check coverage clean

demo: .venv/.demo
	@exec $(BIN)/python -m sharedsession demo --backend $(BACKEND) $(if $(PORT),--port $(PORT))

# Coverage follows every process of the suite; its data is gathered here, wherever they run.
test: export COVERAGE_PROCESS_START = $(CURDIR)/pyproject.toml
test: export COVERAGE_FILE = $(CURDIR)/.coverage
test: .venv/.dev
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m tests.support.fetch
	@$(BIN)/python -m pytest -n $(JOBS) || status=$$?; \
	$(BIN)/python -m tests.support.torn_coverage; \
	$(BIN)/coverage combine -q && echo "coverage: $$($(BIN)/coverage report --format=total) %"; \
	exit $${status:-0}

# What needs no server: under a minute. A test that starts one all the same fails here.
quick: export TESTS_WITHOUT_SERVERS = 1
quick: .venv/.dev
	@$(BIN)/python -m pytest -q -n auto -m "not server" tests/unit tests/contract tests/fuzz \
		tests/test_architecture.py tests/test_docs.py

# The fault laboratory for hours: 5,000 answered logins in each case, where `make test` has 50, and 10,000 rounds on each
# store, where it has 60: what the simulator and the model prove in more orders, it holds to real processes.
farm: export FARM_LOGINS ?= 5000
farm: export FARM_ROUNDS ?= 10000
farm: .venv/.dev
	@$(BIN)/python -m tests.support.fetch
	@$(BIN)/python -m pytest -n $(JOBS) --timeout 14400 tests/farm

# The library in the simulator: so many seeds with one thing that breaks, a fifth of that with two. What is done is noted
# in .simulation, so that it goes on where it was; `make clean` forgets it.
SEEDS ?= 100000
simulate: .venv/.dev
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --faults 1 --notes .simulation/one-fault.json
	@$(BIN)/python -m tests.simulation --seeds $$(( $(SEEDS) / 5 )) --faults 2 --notes .simulation/two-faults.json
	@$(BIN)/python -m tests.support.fetch
	@SIMULATION_SEQUENCES=10000 $(BIN)/python -m pytest -q -n $(JOBS) tests/simulation/test_memcached.py tests/simulation/test_redis.py

# The model: the library's own code in every order that a network allows. `make test` has its short cases.
model: .venv/.dev
	@$(BIN)/python -m tests.model

# Login libraries and frameworks of others, dropped in as the pages of docs/ say, in two processes over one store.
libraries: .venv/libraries/.made
	@.venv/libraries/bin/python -m tests.support.fetch
	@.venv/libraries/bin/python -m tests.support.fetch postgres
	@.venv/libraries/bin/python -m pytest tests/libraries

# What a session costs, against other libraries. The full run takes ten minutes and remakes docs/benchmarks.md;
# BENCH=quick takes about one and only prints. Peers live in an environment of their own: no test installs them.
BENCH ?= full
bench: .venv/bench/.made
	@.venv/bench/bin/python -m tests.support.fetch
	@.venv/bench/bin/python -m tests.support.fetch valgrind
	@.venv/bench/bin/python -m benchmarks $(BENCH) $(if $(filter full,$(BENCH)),--docs)

# The instructions of a request, counted by valgrind: fails when one of six named paths has grown by more than 5 %.
# COUNT=--record makes what it counts the measure; COUNT= prints all paths that it knows.
COUNT ?= --check
instructions: .venv/.dev
	@$(BIN)/python -m tests.support.fetch memcached redis-server valgrind
	@$(BIN)/python -m benchmarks.instructions $(COUNT)

# All that takes bytes or text from outside, against what others may send: for SECONDS, on one core.
SECONDS ?= 3600
fuzz: .venv/fuzz/.made
	@.venv/fuzz/bin/python -m tests.fuzz --seconds $(SECONDS)

# Changes the pure modules that decide, place by place, and tells which changes the unit tests do not notice: a quarter of
# an hour on one core. MODULE=session.merge takes one of them.
MODULE ?=
mutate: .venv/mutation/.made
	@nice -n 15 .venv/mutation/bin/python -m tests.mutation $(MODULE)

check: .venv/.dev
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_architecture.py

coverage:
	@test -f .coverage || { echo 'Run "make test" first: it measures.' >&2; exit 1; }
	@$(BIN)/coverage report

clean:
	rm -rf .venv .servers .simulation .fuzz mutants .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache
	rm -rf .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.made:
	@test -n "$(PYTHON)" || { echo "This needs Python 3.11 or newer: install it, or say PYTHON=/path/to/python3.x" >&2; exit 1; }
	@echo "Making .venv with $(PYTHON) ..."
	@$(PYTHON) -m venv --clear .venv
	@touch $@

.venv/.demo: .venv/.made pyproject.toml
	@echo "Installing what the demo needs ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[demo]'
	@touch $@

.venv/.dev: .venv/.made pyproject.toml
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@ .venv/.demo

# An environment of its own, with the extra of its name: no other test needs what is in it.
.venv/%/.made: pyproject.toml
	@test -n "$(PYTHON)" || { echo "This needs Python 3.11 or newer: install it, or say PYTHON=/path/to/python3.x" >&2; exit 1; }
	@echo "Installing the extra \`$*\` ..."
	@$(PYTHON) -m venv --clear .venv/$*
	@.venv/$*/bin/python -m pip install -q --disable-pip-version-check -e '.[$*]'
	@touch $@
