# What one does here. Needs Rust, Python 3.11 or newer with venv, and gcc; all else goes into .venv and target.

PYTHON ?= python3

export CARGO_TARGET_DIR := $(CURDIR)/target
VENV_BIN := $(CURDIR)/.venv/bin
STACK := $(PYTHON) local/stack.py
CARGO_FLAGS := --workspace --locked
# The version that goes with Cargo.toml's bolero: they speak with each other.
CARGO_BOLERO_VERSION := 0.13.5
CARGO_BOLERO := $(CARGO_TARGET_DIR)/tools/cargo-bolero-$(CARGO_BOLERO_VERSION)
# What `make build` builds for.
ARCH ?= x86_64
RUST_TARGET := $(if $(filter x86_64,$(ARCH)),x86_64-unknown-linux-gnu,$(if $(filter arm64,$(ARCH)),aarch64-unknown-linux-gnu))
NOT_DEPLOYED := relay relay-openapi top-simulator relay-tests relay-simulation relay-fuzz relay-bench floor-bare floor-raw-http
BENCH := $(CARGO_TARGET_DIR)/bench
JUDGES := $(CARGO_TARGET_DIR)/judges
BENCH_FLAGS ?= --save
FUZZ := $(CARGO_TARGET_DIR)/fuzz
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(sort $(notdir $(wildcard tests/fuzz/__fuzz__/*)))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo up watch down status test lint test-rust test-e2e simulate explore explore-briefly soak mutations fuzz build openapi picture bench tools

help: ## say what there is
	@sed -n 's/^\([a-z0-9-]*\):.* ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24
	@echo 'Variables of the local stack, as in `make up TOP_PORT=4600`:'
	@printf '  %s\t%s\n' \
	  PYTHON 'the Python to make .venv with (python3)' \
	  MINISTACK_PORT 'where the local AWS listens (4566)' \
	  TOP_PORT 'where the TOP simulator listens (4580)' \
	  MINISTACK_BIND 'on which address both listen; 0.0.0.0 lets containers in (127.0.0.1)' \
	  SCTT_SIGNATURE 'on: `make up` checks the signature of what SCTT sends (off)' | expand -t 24
	@echo 'Variables of the build:'
	@printf '  %s\t%s\n' \
	  ARCH 'x86_64 or arm64: what the functions are built for ($(ARCH))' | expand -t 24
	@echo 'Variables of the simulation:'
	@printf '  %s\t%s\n' \
	  SEED 'the one seed that `make simulate` runs, and tells everything that happens in it' \
	  SEEDS 'how many seeds `make simulate` runs ($(SEEDS))' \
	  SCENARIO 'the scenarios that `make explore` explores, by a part of their names (all)' \
	  FAULTS 'the most faults in one of its schedules ($(FAULTS))' \
	  SOAK_SEEDS 'how many `make soak` runs ($(SOAK_SEEDS))' \
	  FROM 'the first of them ($(FROM))' | expand -t 24
	@echo 'Variables of the benchmark:'
	@printf '  %s\t%s\n' \
	  BENCH_FLAGS 'what it is told, such as "--warm 1000 --only dispatch" ($(BENCH_FLAGS))' | expand -t 24
	@echo 'Variables of the fuzzer:'
	@printf '  %s\t%s\n' \
	  FUZZ_SECONDS 'how long each target is fuzzed ($(FUZZ_SECONDS))' \
	  FUZZ_TARGETS 'which ones, such as "link top_response" (all of tests/fuzz)' | expand -t 24

demo: ## play partner notifications through to TOP calls on a local stack; the exit status is the verdict
	$(STACK) demo

up: ## start the local stack and leave it running; deploy anew if it runs
	$(STACK) up

watch: ## rebuild and redeploy one function of the running stack whenever its sources change (FUNCTION=dispatch)
	$(STACK) watch $(or $(FUNCTION),$(error say which: make watch FUNCTION=dispatch))

down: ## stop it
	$(STACK) down

status: ## say whether it runs, and what waits in its queues
	$(STACK) status

test: lint test-rust simulate explore-briefly test-e2e ## all that CI checks

lint: tools $(JUDGES)/installed ## formatting, clippy, ruff, and three linters of the template
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets --profile local -- -D warnings
	$(VENV_BIN)/ruff check --no-cache --config local/ruff.toml local tests/e2e tests/simulation bench/peers/python
	$(VENV_BIN)/ruff format --no-cache --config local/ruff.toml --check local tests/e2e tests/simulation bench/peers/python
	$(PYTHON) tests/simulation/mutations.py --check
	env -u AWS_PROFILE SAM_CLI_TELEMETRY=0 $(VENV_BIN)/sam validate --lint --region us-east-1 --template-file template.yaml
	$(JUDGES)/bin/cfn-lint --config-file .cfnlintrc.yaml -- template.yaml
	$(JUDGES)/bin/cfn-lint --config-file .cfnlintrc.yaml -a cfn_lint_serverless.rules -- template.yaml
	$(JUDGES)/bin/checkov --config-file .checkov.yaml

$(JUDGES)/installed: local/judges.txt
	@echo 'Install what judges the template (some 400 MB, once)'
	$(PYTHON) -m venv --clear $(JUDGES)
	$(JUDGES)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# The fuzz targets draw the same inputs each time here; `make fuzz` looks for others. nextest runs each test in its own
# process; `cargo test` needs one thread, because a metrics recorder is global to the process.
test-rust: ## unit, property, contract, in-process and (bounded) fuzz tests, and the examples in the documentation
	export BOLERO_RANDOM_SEED=1; \
	if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run $(CARGO_FLAGS) --cargo-profile local --no-fail-fast; \
	else cargo test $(CARGO_FLAGS) --profile local --tests --no-fail-fast -- --test-threads=1; fi
	cargo test $(CARGO_FLAGS) --profile local --doc

# How many seeds `make simulate` and `make soak` run, and from which on.
SEEDS ?= 20000
SOAK_SEEDS ?= 1000000
FROM ?= 0
# Built as a part of the workspace: alone, its dependencies would have other features, and be compiled once more.
BUILD_SIMULATION := cargo build --locked --profile local --workspace --bin relay-simulation
SIMULATION := $(CARGO_TARGET_DIR)/local/relay-simulation

simulate: ## the relay on a virtual clock with everything that can go wrong: 20,000 runs, or one that it tells of (SEED=7)
	$(BUILD_SIMULATION)
	$(SIMULATION) $(if $(SEED),--seed $(SEED),--from $(FROM) --seeds $(SEEDS))

# What one schedule of `make explore` may meet, and which scenarios it explores.
FAULTS ?= 1
explore: ## every interleaving of small scenarios on the real code, with every fault at every request (SCENARIO=two, FAULTS=2)
	$(BUILD_SIMULATION)
	$(SIMULATION) explore --faults $(FAULTS) $(if $(SCENARIO),--scenario $(SCENARIO))

# What takes longer on two cores runs in `make explore` only; the table says what was left out.
explore-briefly:
	$(BUILD_SIMULATION)
	$(SIMULATION) explore --faults 1 --seconds 150

soak: ## a million such runs, and how often each fault was exercised at each request
	$(BUILD_SIMULATION)
	$(SIMULATION) --from $(FROM) --seeds $(SOAK_SEEDS) --coverage

mutations: ## put deliberate bugs into a copy of the code, and see the simulation catch each
	$(BUILD_SIMULATION) --quiet
	$(PYTHON) tests/simulation/mutations.py

test-e2e: tools ## the real template on a local stack of its own
	$(VENV_BIN)/python -m pytest tests/e2e

# What libFuzzer finds stays in target. Instrumented, the workspace is compiled once more, on any toolchain.
fuzz: $(CARGO_BOLERO)/bin/cargo-bolero ## let libFuzzer look for inputs that break a promise; needs a C++ compiler
	@command -v c++ >/dev/null || { echo 'make fuzz: no c++ found: libFuzzer is compiled with a C++ compiler, such as g++'; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
	  echo "== $$target: $(FUZZ_SECONDS) s"; \
	  mkdir -p "$(FUZZ)/corpus/$$target" "$(FUZZ)/crashes/$$target" && \
	  cp tests/fuzz/__fuzz__/$$target/corpus/* "$(FUZZ)/corpus/$$target/" && \
	  PATH="$(CARGO_BOLERO)/bin:$$PATH" RUST_BACKTRACE=0 cargo bolero test --package relay-fuzz --profile fuzz --sanitizer NONE \
	    --target-dir "$(FUZZ)/build" --corpus-dir "$(FUZZ)/corpus/$$target" --crashes-dir "$(FUZZ)/crashes/$$target" \
	    --max-input-length 4096 --timeout 30s -E=-len_control=20 -E=-rss_limit_mb=4096 -E=-print_final_stats=1 \
	    -T $(FUZZ_SECONDS)s $$target || \
	  { echo "make fuzz: $$target failed. If $(FUZZ)/crashes/$$target holds an input, mend what it breaks," \
	      "and keep the input in tests/fuzz/__fuzz__/$$target/corpus"; exit 1; }; \
	done

$(CARGO_BOLERO)/bin/cargo-bolero:
	CARGO_TARGET_DIR=$(FUZZ)/tools cargo install --quiet --locked --root $(CARGO_BOLERO) \
	  --version $(CARGO_BOLERO_VERSION) --no-default-features --features libfuzzer cargo-bolero

build: tools ## release artifacts for AWS: target/lambda/<function>/bootstrap (ARCH=arm64 for Graviton)
	$(if $(RUST_TARGET),,$(error ARCH is $(ARCH): say x86_64 or arm64))
	@test -d "$$(rustc --print target-libdir --target $(RUST_TARGET))" || rustup target add $(RUST_TARGET) || { \
	  echo 'make build: Rust has no standard library for $(RUST_TARGET) here, and rustup could not add it (above is why).'; \
	  echo 'Run `rustup target add $(RUST_TARGET)` where rustup reaches its server, or install it from your distribution,'; \
	  echo 'and run `make build ARCH=$(ARCH)` again. Nothing was built.'; exit 1; }
	PATH="$(VENV_BIN):$$PATH" cargo lambda build --release --target $(RUST_TARGET) $(CARGO_FLAGS) $(foreach package,$(NOT_DEPLOYED),--exclude $(package))

picture: ## draw docs/architecture.svg anew; needs Graphviz
	dot -Tsvg docs/architecture.dot -o docs/architecture.svg

openapi: ## write docs/openapi.yaml anew
	cargo build --quiet --locked --profile local --workspace --bin relay-openapi
	$(CARGO_TARGET_DIR)/local/relay-openapi docs/openapi.yaml

# Interleaved, so that a noisy machine hurts all alike; half an hour on two cores, of which most is compiling.
bench: build $(BENCH)/python/installed $(BENCH)/node/installed ## measure the functions beside the usual tools; writes bench/results.json and the README's charts
	PATH="$(VENV_BIN):$$PATH" cargo lambda build --release --locked --package floor-bare --package floor-raw-http
	rm -rf $(CARGO_TARGET_DIR)/criterion
	cargo bench --locked --package relay-bench --bench micro
	cargo build --locked --profile local --workspace --bin relay-bench
	$(CARGO_TARGET_DIR)/local/relay-bench $(BENCH_FLAGS)

$(BENCH)/python/installed: bench/peers/python/requirements.txt
	$(PYTHON) -m venv --clear $(BENCH)/python
	$(BENCH)/python/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(BENCH)/node/installed: $(wildcard bench/peers/node/*)
	@command -v npm >/dev/null || { echo 'make bench: no npm found: the peers in JavaScript need Node.js 20 or newer'; exit 1; }
	mkdir -p $(BENCH)/node
	cp bench/peers/node/* bench/peers/node/.npmrc $(BENCH)/node
	cd $(BENCH)/node && npm ci --no-audit --no-fund
	touch $@

tools: ## the pinned Python tools in .venv
	$(STACK) tools
