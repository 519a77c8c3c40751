VENV        ?= .venv
PYTHON      ?= python3
CONSTRAINTS ?= constraints.txt
PORT        ?= 8080
# tests run in so many processes of up to 2 GiB each, more than there are cores, since many wait for
# a deadline; those of whole calls in a browser one by one, since each of them needs two cores
JOBS        ?= 3
CALLS       := tests/e2e
# vectors to replay: those beside this checkout, else the subset in tests/golden
GOLDEN_DIR  ?= $(wildcard ../shared/golden)
BIN         := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)
SOURCES     := server engine tests

.DEFAULT_GOAL := help
.PHONY: help install run simulate check format test mutants test-golden test-gpu gpu-report bench bench-engine \
        bench-media bench-fleet bench-ranks bench-edge bench-senders bench-ladder bench-long bench-sessions \
        soak chaos set pictures image clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(VENV)/.run: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[engine]'
	touch $@

$(VENV)/.dev: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[engine,dev]'
	touch $(VENV)/.run $@

install: $(VENV)/.dev  ## make .venv with everything a developer needs

run: $(VENV)/.run  ## serve on http://localhost:8080 with the embedded model (no GPU needed)
	$(BIN)/slipstream --port $(PORT)

check: install  ## formatting, lint, types, import rules
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## rewrite files in house format
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

test: install  ## every test that needs no GPU; finds or installs Chromium and Firefox first
	$(BIN)/python -m tests.e2e.provision
	$(BIN)/pytest -m 'not gpu' --ignore=$(CALLS) --numprocesses $(JOBS) --dist loadfile \
		--no-loadscope-reorder
	$(BIN)/pytest -m 'not gpu' $(CALLS)

test-golden: install  ## replay the reference's vectors, one line a case (GOLDEN_DIR=... for others)
	GOLDEN_DIR='$(GOLDEN_DIR)' $(BIN)/python -m tests.golden

test-gpu: install  ## numerics and latency on a CUDA device
	$(BIN)/pytest -m gpu

gpu-report:  ## a GPU's checks and times as JSON and a table; needs torch and four small packages, no venv
	PYTHONPATH=engine:. $(PYTHON) -m tests.gpu

bench: install  ## 60 s calls over loopback WebRTC: bare aiortc, echo, tiny; then a soak of 10 minutes
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.soak --seconds 600

soak: install  ## hours of calls that come, change and go (SECONDS=14400): what grows is an error
	$(BIN)/python -m tests.bench.soak --seconds $(or $(SECONDS),14400)

chaos: install  ## faults against a call in a real Chromium (ROUNDS=100): is it kept, how long is the gap
	$(BIN)/python -m tests.e2e.provision
	$(BIN)/python -m tests.bench.chaos --rounds $(or $(ROUNDS),100)

set: install  ## a scripted set of ten minutes (SECONDS=600): cues, MIDI, OSC, sound; its recording frame by frame
	$(BIN)/python -m tests.e2e.provision
	$(BIN)/python -m tests.bench.scripted_set --seconds $(or $(SECONDS),600)

mutants: install  ## small errors in the pure parts that no test notices (PER_FILE=6)
	$(BIN)/python -m tests.mutants --per-file $(or $(PER_FILE),6)

simulate: install  ## the scheduler and a fleet against other policies, on devices that are not here
	$(BIN)/slipstream-engine simulate --suite --seconds 600 --plot tests/pictures/scheduler.png
	$(BIN)/slipstream-engine simulate --ranks 4 --suite --seconds 60 --plot tests/pictures/ranks.png
	$(BIN)/slipstream fleet simulate --json > tests/benchmarks/fleet-days.json

bench-engine: install  ## our micro-step against the specification's text, on the CPU
	$(BIN)/python -m tests.bench.engine

bench-media: install  ## glass to glass in a real Chromium: stock aiortc's echo against our media edge
	$(BIN)/python -m tests.e2e.provision
	$(BIN)/python -m tests.bench.media

bench-sessions: install  ## how many calls this machine holds: stock aiortc's H.264 echo against ours
	$(BIN)/python -m tests.bench.sessions

bench-fleet: install  ## a fleet on Ray: what placing costs, gaps when a node is drained or killed
	$(BIN)/python -m tests.e2e.provision
	$(BIN)/python -m tests.bench.fleet --out tests/benchmarks/fleet.json

bench-ranks: install  ## real ranks and their leader, whose stages only last as long as a GPU's
	$(BIN)/python -m tests.bench.ranks --out tests/benchmarks/ranks.json

bench-ladder: install  ## the quality ladder under scripted overloads, against levels that stay
	$(BIN)/python -m tests.bench.overloads --plot tests/pictures/ladder.svg \
		--out tests/benchmarks/ladder.json

bench-edge: install  ## bursts and a link of 2 Mbit/s in a real Chromium (the link: Linux, root)
	$(BIN)/python -m tests.e2e.provision
	$(BIN)/python -m tests.bench.edge

bench-senders: install  ## our sender against libwebrtc's on poor links, in a real Chromium (4 minutes)
	$(BIN)/python -m tests.e2e.provision
	$(BIN)/python -m tests.bench.senders --out tests/benchmarks/senders.json

bench-long: install  ## ten minutes with an engine of 250 ms a chunk: does age creep
	$(BIN)/python -m tests.bench --cases '250 ms a chunk' --seconds 600

pictures: install  ## take the pictures of the README and of docs/obs.md again
	$(BIN)/python -m tests.e2e.screenshot tests/pictures/studio.png --clip bigbuckbunny.mp4
	$(BIN)/python -m tests.e2e.obs_pictures tests/pictures
	$(BIN)/python -m tests.strip tests/pictures/strip.jpg

image:  ## build the container (TARGET=cpu or gpu)
	docker build --file docker/Dockerfile --target $(or $(TARGET),cpu) --tag slipstream:$(or $(TARGET),cpu) .

clean:  ## remove what the other targets made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist artifacts
