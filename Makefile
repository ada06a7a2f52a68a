# make run     installs what is missing, then serves on http://127.0.0.1:8000
# make test    installs what is missing, then runs every test
# make setup   installs only     make check   lint and types     make bench   measures speed
# make faults  proves what is promised under faults, in the long form of tests/faults and tests/simulation
# make clients tries the clients of other services against this one; their packages come into an environment of their own
# make docs    writes docs/reference from the code
# make vendor  takes the dashboard's charts from their package again     make screenshots   draws docs/dashboard*.png
# make lock    writes the versions of this environment to constraints.txt
SHELL := bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: setup run test check bench faults clients docs vendor screenshots lock

setup: $(STAMP)

# torch comes first: it is the largest part, and everything after it agrees with its version. In the mode "compat" a
# folder named hiddenstate beside a script, such as this checkout, does not hide the package.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install torch==2.13.0
	$(BIN)/pip install -c constraints.txt --config-settings editable_mode=compat -e '.[server,tracing,dev]'
	@touch $@

run: setup
	@exec $(BIN)/hiddenstate serve $(ARGS)

# A file's tests stay in one process, so that they share its servers; the longest files come first.
test: setup
	$(BIN)/python -m pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m bench $(ARGS)

# ARGS="--seed 1" repeats a run; without it every tool prints the seed that it took.
faults: setup
	$(BIN)/python -m tests.simulation --seeds 0:2000 --processes 2
	$(BIN)/python -m tests.simulation.mutants --processes 2
	$(BIN)/python -m tests.faults.load --observations 200000 --connections 64 --sessions 5000 --kills 10 $(ARGS)
	for target in service group store redis valkey; do \
	    $(BIN)/python -m tests.faults.load --observations 20000 --sessions 1000 --kills 20 --target $$target $(ARGS) || exit 1; \
	    $(BIN)/python -m tests.faults.load --observations 960 --sessions 96 --kills 20 --target $$target --fsync-ms 1500 $(ARGS) || exit 1; \
	done
	for policy in everysec always; do $(BIN)/python -m tests.faults.policies --policy $$policy $(ARGS) || exit 1; done
	for deployment in sentinel cluster; do \
	    for durability in memory local replica; do \
	        $(BIN)/python -m tests.faults.failover --deployment $$deployment --kills 20 --durability $$durability $(ARGS) || exit 1; \
	    done; \
	    $(BIN)/python -m tests.faults.failover --deployment $$deployment --kills 20 --silent $(ARGS) || exit 1; \
	done
	$(BIN)/python -m tests.faults.lost_replies --rounds 1000 $(ARGS)
	$(BIN)/python -m tests.faults.races --rounds 1000 $(ARGS)
	$(BIN)/python -m tests.faults.network --observations 20000 $(ARGS)
	$(BIN)/python -m tests.faults.client --observations 10000 --threads 16 $(ARGS)
	$(BIN)/python -m tests.faults.client --observations 10000 --threads 16 --tasks $(ARGS)
	$(BIN)/python -m tests.faults.listeners --listeners 1000 --observations 400 --kills 2 $(ARGS)
	for workers in 1 2; do \
	    $(BIN)/python -m tests.faults.writers --workers $$workers $(ARGS) || exit 1; \
	    $(BIN)/python -m tests.faults.stops --times 20 --workers $$workers $(ARGS) || exit 1; \
	done
	$(BIN)/python -m tests.faults.canaries --requests 20000 $(ARGS)
	$(BIN)/python -m tests.faults.damaged_records --count 100000 $(ARGS)
	$(BIN)/python -m tests.faults.outage --seconds 60 $(ARGS)
	$(BIN)/python -m tests.faults.overload --seconds 30 $(ARGS)
	$(BIN)/python -m tests.faults.warmup $(ARGS)
	$(BIN)/python -m tests.faults.described --examples 200 $(ARGS)

clients: setup
	$(BIN)/python -m tests.clients

docs: setup
	$(BIN)/python docs/generate.py

vendor: setup
	$(BIN)/python -m tests.dashboard.vendoring

screenshots: setup
	$(BIN)/python -m tests.dashboard.screenshots

# Accelerator packages come with torch where there is an accelerator and are not pinned here.
lock: setup
	$(BIN)/pip list --format=freeze --exclude-editable --exclude pip --exclude setuptools | sed 's/+cpu//' | grep -vE '^(nvidia-|cuda-|triton=)' > constraints.txt
