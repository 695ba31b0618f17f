# Development tasks. Needs Rust, Python 3.11 or newer with venv, and gcc; `make test` also needs Node.js 20 or newer. All
# else is installed in .venv and target.

PYTHON ?= python3

export CARGO_TARGET_DIR := $(CURDIR)/target
VENV_BIN := $(CURDIR)/.venv/bin
STACK := $(PYTHON) local/stack.py
CARGO_FLAGS := --workspace --locked
# The version must match Cargo.toml's bolero: the two communicate.
CARGO_BOLERO_VERSION := 0.13.5
CARGO_BOLERO := $(CARGO_TARGET_DIR)/tools/cargo-bolero-$(CARGO_BOLERO_VERSION)
CARGO_MUTANTS_VERSION := 27.1.0
CARGO_MUTANTS := $(CARGO_TARGET_DIR)/tools/cargo-mutants-$(CARGO_MUTANTS_VERSION)
MUTANTS := $(CARGO_TARGET_DIR)/mutants
# The architecture that `make build` builds for.
ARCH ?= x86_64
RUST_TARGET := $(if $(filter x86_64,$(ARCH)),x86_64-unknown-linux-gnu,$(if $(filter arm64,$(ARCH)),aarch64-unknown-linux-gnu))
BENCH := $(CARGO_TARGET_DIR)/bench
JUDGES := $(CARGO_TARGET_DIR)/judges
MOTO := $(CARGO_TARGET_DIR)/moto
DYNAMODB := $(CARGO_TARGET_DIR)/dynamodb
BENCH_FLAGS ?= --save
FUZZ := $(CARGO_TARGET_DIR)/fuzz
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(sort $(notdir $(wildcard tests/fuzz/__fuzz__/*)))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo up watch down console status test ci check lint test-rust test-e2e simulate simulate-briefly explore explore-briefly soak mutations mutants second-opinion fuzz build openapi picture bench tools

help: ## list the targets and variables
	@sed -n 's/^\([a-z0-9-]*\):.* ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24
	@echo 'Variables of the local stack, for example `make up TOP_PORT=4600`:'
	@printf '  %s\t%s\n' \
	  PYTHON 'Python that creates .venv [python3]' \
	  MINISTACK_PORT 'port of the local AWS [4566]' \
	  TOP_PORT 'port of the TOP simulator [4580]' \
	  MINISTACK_BIND 'address that both listen on; 0.0.0.0 admits containers [127.0.0.1]' \
	  SCTT_SIGNATURE 'on: `make up` checks the signatures of SCTT notifications [off]' | expand -t 24
	@echo 'Variables of the build:'
	@printf '  %s\t%s\n' \
	  ARCH 'architecture of the functions, x86_64 or arm64 [$(ARCH)]' | expand -t 24
	@echo 'Variables of the simulation:'
	@printf '  %s\t%s\n' \
	  SEED 'single seed for `make simulate` to run and trace in full' \
	  SEEDS 'number of seeds that `make simulate` runs [$(SEEDS)]' \
	  SCENARIO 'part of the names of the scenarios that `make explore` runs [all]' \
	  FAULTS 'maximum faults in a schedule of `make explore` [$(FAULTS)]' \
	  SOAK_SEEDS 'number of seeds that `make soak` runs [$(SOAK_SEEDS)]' \
	  FROM 'first seed of `make simulate` and `make soak` [$(FROM)]' | expand -t 24
	@echo 'Variables of the benchmark:'
	@printf '  %s\t%s\n' \
	  BENCH_FLAGS 'flags, such as "--warm 1000 --only dispatch" [$(BENCH_FLAGS)]' | expand -t 24
	@echo 'Variables of `make mutants`:'
	@printf '  %s\t%s\n' \
	  FILE 'source file or glob to change, such as shared/decide/src/facts.rs' \
	  MUTANTS_FLAGS 'flags of cargo-mutants, such as "--shard 0/8" [none]' | expand -t 24
	@echo 'Variables of the fuzzer:'
	@printf '  %s\t%s\n' \
	  FUZZ_SECONDS 'seconds per target [$(FUZZ_SECONDS)]' \
	  FUZZ_TARGETS 'targets to fuzz, such as "link top_response" [all of tests/fuzz]' | expand -t 24

demo: ## play partner notifications through to TOP calls on a local stack; the exit status tells if all went well
	$(STACK) demo

up: ## start the local stack and leave it running; redeploy if it is already running
	$(STACK) up

watch: ## rebuild and redeploy one function of the running stack whenever its sources change (FUNCTION=dispatch)
	$(STACK) watch $(or $(FUNCTION),$(error no function given; run make watch FUNCTION=dispatch))

down: ## stop the local stack
	$(STACK) down

console: ## serve the operator's web console of the running stack
	$(STACK) console

status: ## show whether the local stack is running, and the backlog of its queues
	$(STACK) status

test: lint test-rust simulate-briefly test-e2e ## run all checks; CI also runs `make simulate` and a bounded `make explore`

ci: test second-opinion simulate explore-briefly

lint: tools $(JUDGES)/installed ## check formatting, run clippy, ruff and three template linters
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets --profile local -- -D warnings
	$(VENV_BIN)/ruff check --no-cache --config local/ruff.toml local tests/e2e tests/dynamodb tests/simulation bench/peers/python docs/samples
	$(VENV_BIN)/ruff format --no-cache --config local/ruff.toml --check local tests/e2e tests/dynamodb tests/simulation bench/peers/python docs/samples
	$(PYTHON) tests/simulation/mutations.py --check
	env -u AWS_PROFILE SAM_CLI_TELEMETRY=0 $(VENV_BIN)/sam validate --lint --region us-east-1 --template-file template.yaml
	$(JUDGES)/bin/cfn-lint --config-file .cfnlintrc.yaml -- template.yaml network.yaml
	$(JUDGES)/bin/cfn-lint --config-file .cfnlintrc.yaml -a cfn_lint_serverless.rules -- template.yaml
	$(JUDGES)/bin/checkov --config-file .checkov.yaml

$(JUDGES)/installed: local/judges.txt
	@echo 'Install the template linters (some 400 MB, once)'
	$(PYTHON) -m venv --clear $(JUDGES)
	$(JUDGES)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# The fuzz targets get the same inputs each time here; `make fuzz` searches for others. nextest runs each test in its
# own process. `cargo test` needs one thread, because a metrics recorder is global to the process.
test-rust: ## run unit, property, contract, in-process and (bounded) fuzz tests
	export BOLERO_RANDOM_SEED=1; \
	if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run $(CARGO_FLAGS) --cargo-profile local --no-fail-fast; \
	else cargo test $(CARGO_FLAGS) --profile local --tests --no-fail-fast -- --test-threads=1; fi

# The in-process tests and some runs of the simulation record their DynamoDB requests, and pytest sends them to the
# emulators. The seeds give the property tests and the simulation the same inputs each time.
second-opinion: export RELAY_DYNAMODB_RECORD := $(DYNAMODB)/recording
second-opinion: export PROPTEST_RNG_SEED := 1
second-opinion: tools $(MOTO)/installed ## replay the in-process tests' DynamoDB requests on MiniStack and moto, and compare
	rm -rf $(DYNAMODB)
	$(BUILD_SIMULATION)
	$(SIMULATION) --from 0 --seeds 500
	if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run $(CARGO_FLAGS) --cargo-profile local --test relay --status-level fail; \
	else cargo test $(CARGO_FLAGS) --profile local --quiet --test relay -- --test-threads=1; fi
	$(VENV_BIN)/python -m pytest tests/dynamodb

$(MOTO)/installed: tests/dynamodb/requirements.txt
	@echo 'Install moto, a second emulator of DynamoDB (some 140 MB, once)'
	$(PYTHON) -m venv --clear $(MOTO)
	$(MOTO)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# What to run while working: everything that needs neither the simulation's long runs nor the local stack.
check: ## check formatting, run clippy and the Rust tests; the local stack and the long runs are in `make test`
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets --profile local -- -D warnings
	@$(MAKE) --no-print-directory test-rust

# The number of seeds for `make simulate` and `make soak`, and the first seed.
SEEDS ?= 20000
SOAK_SEEDS ?= 1000000
FROM ?= 0
# Build the whole workspace: alone, the package's dependencies would have other features and be compiled again.
BUILD_SIMULATION := cargo build --locked --profile local --workspace --bin relay-simulation
SIMULATION := $(CARGO_TARGET_DIR)/local/relay-simulation

simulate: ## simulate the relay on a virtual clock with all faults: 20,000 runs, or one traced run (SEED=7)
	$(BUILD_SIMULATION)
	$(SIMULATION) $(if $(SEED),--seed $(SEED),--from $(FROM) --seeds $(SEEDS))

# The maximum faults in a schedule of `make explore`.
FAULTS ?= 1
explore: ## run small scenarios in every order on the real code, with every fault at every request (SCENARIO=two, FAULTS=2)
	$(BUILD_SIMULATION)
	$(SIMULATION) explore --faults $(FAULTS) $(if $(SCENARIO),--scenario $(SCENARIO))

simulate-briefly:
	$(BUILD_SIMULATION)
	$(SIMULATION) --seeds 2000

# Scenarios that take longer on two cores run in `make explore` only; the table lists those left out.
explore-briefly:
	$(BUILD_SIMULATION)
	$(SIMULATION) explore --faults 1 --seconds 150

soak: ## run a million simulations, and report how often each request met each fault
	$(BUILD_SIMULATION)
	$(SIMULATION) --from $(FROM) --seeds $(SOAK_SEEDS) --coverage

mutations: ## check that the simulation catches each deliberate bug in a copy of the code
	$(BUILD_SIMULATION) --quiet
	$(PYTHON) tests/simulation/mutations.py

# A first run compiles all dependencies, because the profile is its own. No baseline: it would run only the tests of the
# changed crate, which may have none. What no test noticed is in target/mutants/mutants.out/missed.txt.
mutants: $(CARGO_MUTANTS)/bin/cargo-mutants ## change one place of a file at a time, and check that a test fails (FILE=shared/decide/src/facts.rs)
	$(if $(FILE),,$(error no file given; run make mutants FILE=shared/decide/src/facts.rs))
	mkdir -p $(MUTANTS)
	PATH="$(CARGO_MUTANTS)/bin:$$PATH" CARGO_TARGET_DIR=$(MUTANTS)/build BOLERO_RANDOM_SEED=1 cargo mutants --workspace --file '$(FILE)' --output $(MUTANTS) \
	  --baseline skip --timeout 300 --build-timeout 900 $(MUTANTS_FLAGS) $(if $(shell cargo nextest --version 2>/dev/null),--test-tool nextest,-- -- --test-threads=1)

$(CARGO_MUTANTS)/bin/cargo-mutants:
	CARGO_TARGET_DIR=$(MUTANTS)/tools cargo install --quiet --locked --root $(CARGO_MUTANTS) --version $(CARGO_MUTANTS_VERSION) cargo-mutants

test-e2e: tools ## test the real template on a separate local stack
	$(VENV_BIN)/python -m pytest tests/e2e

# libFuzzer's findings stay in target. Instrumentation compiles the workspace again, on any toolchain.
fuzz: $(CARGO_BOLERO)/bin/cargo-bolero ## search with libFuzzer for inputs that break a promise; needs a C++ compiler
	@command -v c++ >/dev/null || { echo 'make fuzz: no c++ found; install a C++ compiler such as g++'; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
	  echo "== $$target: $(FUZZ_SECONDS) s"; \
	  mkdir -p "$(FUZZ)/corpus/$$target" "$(FUZZ)/crashes/$$target" && \
	  cp tests/fuzz/__fuzz__/$$target/corpus/* "$(FUZZ)/corpus/$$target/" && \
	  PATH="$(CARGO_BOLERO)/bin:$$PATH" RUST_BACKTRACE=0 cargo bolero test --package relay-fuzz --profile fuzz --sanitizer NONE \
	    --target-dir "$(FUZZ)/build" --corpus-dir "$(FUZZ)/corpus/$$target" --crashes-dir "$(FUZZ)/crashes/$$target" \
	    --max-input-length 4096 --timeout 30s -E=-len_control=20 -E=-rss_limit_mb=4096 -E=-print_final_stats=1 \
	    -T $(FUZZ_SECONDS)s $$target || \
	  { echo "make fuzz: $$target failed. If $(FUZZ)/crashes/$$target holds an input, fix the bug" \
	      "and keep the input in tests/fuzz/__fuzz__/$$target/corpus"; exit 1; }; \
	done

$(CARGO_BOLERO)/bin/cargo-bolero:
	CARGO_TARGET_DIR=$(FUZZ)/tools cargo install --quiet --locked --root $(CARGO_BOLERO) \
	  --version $(CARGO_BOLERO_VERSION) --no-default-features --features libfuzzer cargo-bolero

build: tools ## build release artifacts: target/lambda/<function>/bootstrap, and .aws-sam/build for `sam deploy` (ARCH=arm64 for Graviton)
	$(if $(RUST_TARGET),,$(error ARCH is $(ARCH); set it to x86_64 or arm64))
	@test -d "$$(rustc --print target-libdir --target $(RUST_TARGET))" || rustup target add $(RUST_TARGET) || { \
	  echo 'make build: Rust has no standard library for $(RUST_TARGET), and rustup could not add it (see the error above).'; \
	  echo 'Run `rustup target add $(RUST_TARGET)` with access to its server, or install it from your distribution,'; \
	  echo 'then run `make build ARCH=$(ARCH)` again. Nothing was built.'; exit 1; }
	PATH="$(VENV_BIN):$$PATH" cargo lambda build --release --locked $(if $(filter arm64,$(ARCH)),--arm64,--x86-64)
	PATH="$(VENV_BIN):$$PATH" SAM_CLI_TELEMETRY=0 sam build --parameter-overrides Architecture=$(ARCH)

picture: ## redraw docs/architecture.svg; needs Graphviz
	dot -Tsvg docs/architecture.dot -o docs/architecture.svg

openapi: ## regenerate docs/openapi.yaml
	cargo build --quiet --locked --profile local --workspace --bin relay-openapi
	$(CARGO_TARGET_DIR)/local/relay-openapi docs/openapi.yaml

# Runs are interleaved, so a noisy machine affects all alike. Takes half an hour on two cores, most of it compiling.
bench: build $(BENCH)/python/installed $(BENCH)/node/installed ## compare the functions with the usual tools; writes bench/results.json and the README's charts
	PATH="$(VENV_BIN):$$PATH" cargo lambda build --release --locked --package floor-bare --package floor-raw-http
	rm -rf $(CARGO_TARGET_DIR)/criterion
	cargo bench --locked --package relay-top --bench micro
	cargo build --locked --profile local --workspace --bin relay-bench
	$(CARGO_TARGET_DIR)/local/relay-bench $(BENCH_FLAGS)

$(BENCH)/python/installed: bench/peers/python/requirements.txt
	$(PYTHON) -m venv --clear $(BENCH)/python
	$(BENCH)/python/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

$(BENCH)/node/installed: $(wildcard bench/peers/node/*)
	@command -v npm >/dev/null || { echo 'make bench: no npm found; install Node.js 20 or newer for the JavaScript peers'; exit 1; }
	mkdir -p $(BENCH)/node
	cp bench/peers/node/* bench/peers/node/.npmrc $(BENCH)/node
	cd $(BENCH)/node && npm ci --no-audit --no-fund
	touch $@

tools: ## install the pinned Python tools in .venv
	$(STACK) tools
