TOOLS := $(CURDIR)/.tools
SAM := $(TOOLS)/sam/bin/sam
PYTHON := $(TOOLS)/sam/bin/python
export SAM_CLI_TELEMETRY := 0
# A first compile has nothing to go on from: noting what the next one could reuse costs it half a minute. Where somebody works with
# cargo, there is something, and the tests go on from it too.
ifndef CARGO_INCREMENTAL
export CARGO_INCREMENTAL := $(if $(wildcard $(or $(CARGO_TARGET_DIR),target)/debug/incremental/*),1,0)
endif

.PHONY: help generated test test-tools test-build test-rules test-programs lint build digests deploy advisories sbom reproducible samples schemas clean check-tools tools-test tools-rabbitmq tools-sam tools-build tools-lint tools-mutants tools-sbom tools-node tools-bench bench load cost scale simulate measure-cost exhaustive fuzz mutants next-steps adopt local-aws local-aws-build local-aws-down

help:
	@echo "make test        build everything, run the tests of every crate and the end-to-end tests"
	@echo "make lint        formatting, clippy, licences, sources and use of dependencies, the template"
	@echo "make advisories  look the dependencies up in the RustSec database (needs the network)"
	@echo "make sbom        write bills of materials of the functions and of the command line into target/sbom (CycloneDX)"
	@echo "make reproducible build functions twice from the last commit, in two folders, and compare (docs/supply-chain.md)"
	@echo "                 FUNCTION=machnet only that one; two builds from nothing take half an hour and more"
	@echo "make samples     regenerate the samples in events/"
	@echo "make schemas     regenerate the schemas and the examples in schemas/"
	@echo "make generated   all of these and whatever else is written by a program (some minutes)"
	@echo "make build       build the functions for Lambda, and print their digests as Lambda will report them"
	@echo "make digests     print the digests of what is built already"
	@echo "make deploy      build, then deploy the stack with the settings in samconfig.toml"
	@echo "                 STACK=name another stack, PARAMETERS=\"Key=Value\" settings to keep, DEPLOY_ARGS for sam deploy"
	@echo "make next-steps  what is left to do for a stack; STACK=name"
	@echo "make adopt       make a stack of what a deleted one left behind; STACK=name, then make deploy"
	@echo "make cost        compute docs/cost.md from the template, the prices and what the code uses"
	@echo "make scale       compute docs/scale.md, what a number of deliveries a second needs, from these and AWS's quotas"
	@echo "make local-aws   start an emulator of AWS with what the functions need, and print what to try (PORT=4566)"
	@echo "make local-aws-build  build the functions for this machine, for sam local"
	@echo "make local-aws-down   stop the emulator"
	@echo "make bench       measure functions, drain and local server beside others that do the same, as one table (docs/bench.md)"
	@echo "                 QUICK=1 a first look, BENCH_ARGS for bench/__main__.py"
	@echo "make simulate    run the simulated world (docs/simulation.md); SEEDS=1000000, FROM=1 a first seed"
	@echo "make load        put stack and local server under load while things go wrong, then account for every id (docs/proof.md)"
	@echo "                 MINUTES=1 how long each run sends, SEED=1 what is drawn, LOAD_ARGS for load/__main__.py"
	@echo "make exhaustive  explore larger worlds of the ledger completely (docs/proof.md)"
	@echo "make fuzz        run each fuzz test for MINUTES=1, guided by coverage (docs/proof.md); TARGET=part of a name, JOBS=2, KEEP=1"
	@echo "make mutants     change the code in small ways, and list what no test notices (docs/proof.md)"
	@echo "                 PACKAGE=intake-providers only that one, FILE=one file, JOBS=2 side by side"
	@echo "make clean       remove what was built and installed"

# The command line as it is installed links the AWS SDK, and as `cargo run` starts it, it doesn't. The tests of a build without it
# come first, so that the binary with it stays for the end-to-end tests: they run the binaries that the crates' tests were built
# with, because a `cargo build` would unify the features of the dependencies in another way and compile most of them again.
WORKSPACE := --workspace --locked

test: check-tools
	@! cargo tree --package intake-cli-local --edges normal,build --prefix none --locked | grep '^aws-sdk' || \
		{ echo "intake-cli-local, which the demo runs, must link no AWS SDK" >&2; exit 1; }
	$(MAKE) --jobs=2 test-tools test-build
	$(MAKE) --jobs=2 --output-sync=target test-rules test-programs
	cargo test $(WORKSPACE) --doc
	$(TOOLS)/tests/bin/python -m pytest tests

# The tools are downloaded and unpacked while cargo compiles. One after the other: two of them may install a package of the system.
test-tools:
	@tests/install-tools tests tests/requirements.txt
	@tests/install-rabbitmq
	@tests/install-tools sam tests/requirements-sam.txt
	@tests/install-tools build tests/requirements-build.txt
	@tests/install-node-packages examples/typescript

test-build:
	cargo test --workspace --locked --no-default-features --test command_line -- deployed_stack
	cargo test $(WORKSPACE) --lib --test '*' --no-run

# Half of the crates' tests compute and the other half wait, so the halves run side by side.
test-rules:
	cargo test $(WORKSPACE) --lib

test-programs:
	cargo test $(WORKSPACE) --test '*'

lint: check-tools tools-sam tools-lint
	cargo fmt --all --check
	@# The providers' files, which a macro declares, are known to rustfmt by their names only.
	git ls-files -z '*.rs' | xargs -0 rustfmt --check --edition 2024
	cargo clippy --workspace --all-targets --no-default-features --locked -- -D warnings
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(TOOLS)/lint/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	$(TOOLS)/lint/bin/cargo-shear --locked --deny-warnings
	AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint
	$(TOOLS)/sam/bin/cfn-lint template.yaml
	@# What neither knows, such as metric math, and what the functions really call and count.
	cd tests && $(TOOLS)/sam/bin/python -m template_check

advisories: tools-lint
	$(TOOLS)/lint/bin/cargo-deny --locked check advisories

sbom: check-tools tools-sbom
	@$(TOOLS)/sbom/bin/python deploy/sbom.py

reproducible: check-tools tools-sam tools-build
	@$(PYTHON) deploy/reproducible.py $(if $(FUNCTION),--function "$$FUNCTION")

samples:
	cargo run --locked -- sample-events

# Everything that is written by a program, after a change that is meant: review the difference. A provider that is new is in all of it.
generated: check-tools tools-test tools-rabbitmq tools-sam tools-build samples schemas
	cargo test $(WORKSPACE) --lib --test '*' --no-run
	INSTA_UPDATE=always cargo test $(WORKSPACE) --test command_line
	MEASURED=write $(TOOLS)/tests/bin/python -m pytest tests/test_recordings.py tests/test_next_steps.py tests/test_cost.py \
		--record -k "recordings or next_steps or measurements"
	cd tests && $(TOOLS)/sam/bin/python -m template_check --accept
	$(MAKE) cost scale

schemas:
	UPDATE_SCHEMAS=1 cargo test --locked --package intake-pipeline --lib envelope::tests

build: check-tools tools-sam tools-build
	@$(PYTHON) deploy/build.py

digests: tools-sam
	@$(PYTHON) deploy/build.py --digests

# What is given on the command line reaches the recipe in the environment too, so that the shell reads none of it.
STACK_OPTION = $(if $(filter undefined,$(origin STACK)),,--stack "$$STACK")

deploy: check-tools tools-sam tools-build
	@$(PYTHON) deploy/deploy.py $(STACK_OPTION) --parameters="$$PARAMETERS" --sam-arguments="$$DEPLOY_ARGS"

next-steps: tools-sam
	@$(PYTHON) deploy/next_steps.py $(STACK_OPTION)

adopt: tools-sam
	@$(PYTHON) deploy/adopt.py $(STACK_OPTION) $(ADOPT_ARGS)

cost: tools-sam
	@$(PYTHON) deploy/cost.py

scale: tools-sam
	@$(PYTHON) deploy/scale.py

# What the code uses of AWS, into deploy/measured.toml; `make test` compares the two.
measure-cost: tools-test tools-rabbitmq tools-sam
	cargo build --workspace --locked
	MEASURED=write $(TOOLS)/tests/bin/python -m pytest tests/test_cost.py -k measurements

# Every figure of speed, in turn with others that do the same: some minutes on a quiet machine, once the programs are built.
BENCH_FUNCTIONS := --package intake-functions --bin machnet --bin processor --bin nowcerts --package intake-bare --bin bare-webhook --bin bare-processor
BENCH_SERVER := --package intake-cli-local --package server-load

bench: check-tools tools-test tools-rabbitmq tools-bench
	cargo build --release --locked $(BENCH_FUNCTIONS)
	$(if $(wildcard bench/server/Cargo.toml),cargo build --release --locked $(BENCH_SERVER))
	@$(TOOLS)/tests/bin/python bench --python $(TOOLS)/bench/bin/python $(if $(QUICK),--quick) $(BENCH_ARGS)

# With the release profile, which compiles for two minutes and then runs twice as many seeds as the tests' own.
SEEDS ?= 10000

simulate: check-tools
	cargo run --locked --release --package simulation -- --seeds $(SEEDS) $(if $(FROM),--from $(FROM))

load: check-tools tools-test tools-rabbitmq tools-sam
	cargo test $(WORKSPACE) --lib --test '*' --no-run
	@$(TOOLS)/tests/bin/python load --minutes "$${MINUTES:-1}" --seed "$${SEED:-1}" $(LOAD_ARGS)

# Every way in which a small world can go, with more faults than in `make test`.
exhaustive: check-tools
	cargo test $(WORKSPACE) --lib exhaustive -- --include-ignored --nocapture --test-threads 1

fuzz: check-tools
	@fuzz/run $(if $(KEEP),--keep) $(if $(JOBS),--jobs "$$JOBS") "$${MINUTES:-1}" "$${TARGET:-}"

# All mutants in one program, each behind a switch, in a copy of this folder; decision 0038.
mutants: check-tools tools-mutants
	@$(TOOLS)/switches/bin/python mutants --cargo-mutants $(TOOLS)/mutants/bin/cargo-mutants \
		$(if $(PACKAGE),--package "$$PACKAGE") $(if $(FILE),--file "$$FILE") $(if $(JOBS),--jobs "$$JOBS")

local-aws: check-tools tools-test tools-sam tools-build
	@$(PYTHON) deploy/local_aws up $(if $(PORT),--port $(PORT))

local-aws-build: check-tools tools-sam tools-build
	@$(PYTHON) deploy/local_aws build

local-aws-down: tools-sam
	@$(PYTHON) deploy/local_aws down

clean:
	rm -rf target .aws-sam .tools examples/typescript/node_modules bench/peers/node_modules

check-tools:
	@command -v cargo >/dev/null || { echo "Rust is missing: https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is missing (cc); on Debian and Ubuntu: apt install gcc libc6-dev" >&2; exit 1; }

tools-test:
	@tests/install-tools tests tests/requirements.txt

# Node.js itself comes with the tests' Python environment.
tools-node: tools-test
	@tests/install-node-packages examples/typescript

# The programs that the functions are compared with.
tools-bench:
	@tests/install-tools bench bench/requirements.txt
	@tests/install-node-packages bench/peers bench
	@bench/bundle-peers

tools-rabbitmq:
	@tests/install-rabbitmq

tools-sam:
	@tests/install-tools sam tests/requirements-sam.txt

# cargo-auditable needs a compiler, which who builds functions has; nobody offers it compiled in a package.
tools-build:
	@tests/install-tools build tests/requirements-build.txt
	@tests/install-cargo-tool auditable cargo-auditable 0.7.7 ccdd489bc94d1338cd04389a842e00661300331ec915fb376b4810ef7d480b5d

tools-lint:
	@tests/install-tools lint tests/requirements-lint.txt

tools-mutants:
	@tests/install-cargo-tool mutants cargo-mutants 27.1.0 07072e7bcdeb425d5e5fdbfd9f15a2c749e23cb2edf5ef40aee5876760ae1cf9
	@tests/install-tools switches tests/requirements-mutants.txt

tools-sbom:
	@tests/install-tools sbom tests/requirements-sbom.txt
