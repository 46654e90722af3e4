TOOLS := $(CURDIR)/.tools
SAM := $(TOOLS)/sam/bin/sam
export SAM_CLI_TELEMETRY := 0

.PHONY: help test lint build deploy advisories samples clean check-tools tools-test tools-rabbitmq tools-sam tools-build tools-lint

help:
	@echo "make test        build everything, run the tests of every crate and the end-to-end tests"
	@echo "make lint        formatting, clippy, licences and sources of dependencies, the template"
	@echo "make advisories  look the dependencies up in the RustSec database (needs the network)"
	@echo "make samples     regenerate the samples in events/"
	@echo "make build       build the functions for Lambda"
	@echo "make deploy      build, then deploy the stack with the settings in samconfig.toml"
	@echo "make clean       remove what was built and installed"

# The commands for a deployed stack are behind a feature; the end-to-end tests run them.
test: check-tools tools-test tools-rabbitmq tools-sam
	cargo test --workspace --locked
	cargo build --workspace --features intake-cli/aws --locked
	$(TOOLS)/tests/bin/python -m pytest tests

lint: check-tools tools-sam tools-lint
	cargo fmt --all --check
	@# The providers' files, which a macro declares, are known to rustfmt by their names only.
	git ls-files -z '*.rs' | xargs -0 rustfmt --check --edition 2024
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --all-targets --features intake-cli/aws --locked -- -D warnings
	$(TOOLS)/lint/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	AWS_DEFAULT_REGION=us-east-1 $(SAM) validate --lint
	$(TOOLS)/sam/bin/cfn-lint template.yaml
	@# What neither knows, such as metric math, and what the functions really call and count.
	cd tests && $(TOOLS)/sam/bin/python -m template_check

advisories: tools-lint
	$(TOOLS)/lint/bin/cargo-deny --locked check advisories

samples:
	cargo run --locked -- sample-events

build: check-tools tools-sam tools-build
	PATH="$(TOOLS)/build/bin:$$PATH" $(SAM) build

# `sam build` and `sam deploy` both read the stack's settings, including the architecture, from samconfig.toml.
deploy: build
	$(SAM) deploy $(DEPLOY_ARGS)

clean:
	rm -rf target .aws-sam .tools

check-tools:
	@command -v cargo >/dev/null || { echo "Rust is missing: https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is missing (cc); on Debian and Ubuntu: apt install gcc libc6-dev" >&2; exit 1; }

tools-test:
	@tests/install-tools tests tests/requirements.txt

tools-rabbitmq:
	@tests/install-rabbitmq

tools-sam:
	@tests/install-tools sam tests/requirements-sam.txt

tools-build:
	@tests/install-tools build tests/requirements-build.txt

tools-lint:
	@tests/install-tools lint tests/requirements-lint.txt
