# SPDX-License-Identifier: Apache-2.0

export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER ?= aarch64-linux-gnu-gcc

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
# Only the programs that talk to BPF run as root: cargo, and so everything in target/, stays the user's.
CARGO_AS_ROOT := cargo $(if $(SUDO),--config 'target."cfg(unix)".runner="sudo -E"')
# Optimised across crates like the agent, each of its test programs would take ten times as long to build.
FUZZ := --locked --release --package http1-fuzz --config profile.release.lto=false
ENGINE ?= docker
C_SOURCES := $(shell find src/bpf fuzz/src benches -name "*.[ch]" ! -name vmlinux.h)
SCRIPTS := .ci/run $(wildcard *.sh scripts/*.sh packaging/*.sh tests/image/*.sh)

.PHONY: run build top install uninstall arm64 static packages image audit test test-kernels fuzz mutants mutants-c mutants-rust lint format accuracy bench verifier clean help

# Where everything is built that is for this host.
RELEASE = target/$$(rustc -vV | sed -n 's/^host: //p')/release/scope-http-statistics
INSTALL = $(if $(DESTDIR),,$(SUDO)) env PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)" scripts/install.sh

run: build ## build the agent and run it (the default); ARGS="-v" hands it flags
	@$(CARGO_AS_ROOT) run --quiet --release --locked -- $(ARGS)

build: ## install what the build needs and build the release binary
	@scripts/install-dependencies.sh build
	cargo build --release --locked

top: build ## show what is served, live, in the terminal; ARGS="--url http://HOST:9476" for another host
	@$(CARGO_AS_ROOT) run --quiet --release --locked -- top $(ARGS)

install: build ## install the agent, its manual, completions, and where systemd is its unit; PREFIX=/usr/local, DESTDIR
	$(INSTALL) install "$(RELEASE)"

uninstall: ## remove what install has installed; the same PREFIX and DESTDIR
	$(INSTALL) uninstall

arm64: ## cross-build the static release binary for arm64
	@scripts/install-dependencies.sh build arm64
	cargo build --release --locked --target aarch64-unknown-linux-gnu
	@! aarch64-linux-gnu-readelf --program-headers target/aarch64-unknown-linux-gnu/release/scope-http-statistics | grep INTERP

static: build ## check that the release binary needs nothing from the host and stays small
	@agent=$(RELEASE) && \
		ldd $$agent | grep 'statically linked' && \
		size=$$(stat -c %s $$agent) && echo "$$size bytes" && test $$size -lt 11000000

packages: build arm64 ## make Debian and RPM packages for x86-64 and arm64, in target/package
	@scripts/install-dependencies.sh package
	@host=target/$$(rustc -vV | sed -n 's/^host: //p')/release/scope-http-statistics && \
		for kind in deb rpm; do \
			for agent in $$host target/aarch64-unknown-linux-gnu/release/scope-http-statistics; do \
				RUNS_HERE=$$host packaging/package.sh $$kind $$agent target/package || exit; \
			done; \
		done

image: ## build the container image; ENGINE=podman, or ARGS="--platform linux/amd64,linux/arm64 --push" for both architectures
	$(ENGINE) build $$(packaging/image-arguments.sh) $(ARGS) .

test: ## install what the tests need, servers and a container engine, and run every test, as root
	@scripts/install-dependencies.sh build test
	@test -e /sys/kernel/tracing/events || $(SUDO) mount -t tracefs tracefs /sys/kernel/tracing
	$(CARGO_AS_ROOT) test --locked --package scope-http-statistics --package common
	cargo test $(FUZZ)

test-kernels: ## run the live tests on each kernel that hosts run, emulated; ARGS="6.1 6.12" for some of them
	@scripts/install-dependencies.sh build arm64 kernels
	cargo test --locked --package kernel-lab
	cargo run --quiet --locked --package kernel-lab -- $(ARGS)

accuracy: ## compare real servers with their own logs, and write what was seen to docs/accuracy.md
	@scripts/install-dependencies.sh build test
	@test -e /sys/kernel/tracing/events || $(SUDO) mount -t tracefs tracefs /sys/kernel/tracing
	ACCURACY_TABLE=$(CURDIR)/docs/accuracy.md $(CARGO_AS_ROOT) test --locked --test accuracy -- every_count

fuzz: ## random conversations through the framing until Ctrl-C; ARGS="--seconds 600" for a time
	@scripts/install-dependencies.sh build
	cargo run $(FUZZ) -- $(ARGS)

mutants: mutants-c mutants-rust ## put small faults into the code and list those that no test notices: takes hours

mutants-c: ## into the C of the protocols; ARGS="protocol/http1/text.h" for some files, --all for the known ones too
	@scripts/install-dependencies.sh build
	cargo test --quiet --locked --package mutants
	cargo run --quiet --locked --package mutants -- $(ARGS)

mutants-rust: ## into the Rust that is pure
	@scripts/install-dependencies.sh build
	cargo install --quiet --locked --root target/mutants/tools cargo-mutants@27.1.0
	CARGO_TARGET_DIR=$(CURDIR)/target/mutants target/mutants/tools/bin/cargo-mutants mutants --output target/mutants

lint: ## rustfmt, clippy, clang-format and shellcheck, without a warning
	@scripts/install-dependencies.sh build lint
	cargo fmt --check --all
	cargo clippy --locked --workspace --exclude common --exclude peers -- -D warnings
	cargo clippy --locked --workspace --all-targets -- -D warnings -A clippy::unwrap-used
	clang-format --dry-run -Werror $(C_SOURCES)
	shellcheck $(SCRIPTS)

audit: ## ask cargo-deny about licences, sources and known vulnerabilities of all that is linked in; takes the network
	@scripts/install-dependencies.sh build
	cargo install --quiet --locked --root target/audit cargo-deny@0.20.2
	target/audit/bin/cargo-deny --locked check licenses bans sources
	@target/audit/bin/cargo-deny --locked check advisories || \
		{ echo "NOT ASKED, or there are findings: are there advisories against what is linked in? (above)" >&2; exit 1; }

format: ## bring all code into the form that lint asks for
	@scripts/install-dependencies.sh build lint
	cargo fmt --all
	clang-format -i $(C_SOURCES)

bench: ## measure what the agent costs; ARGS="--quick" for a first impression
	@scripts/install-dependencies.sh build bench
	$(CARGO_AS_ROOT) bench --locked --bench overhead -- $(ARGS)
	$(CARGO_AS_ROOT) bench --locked --bench memory
	cargo bench --locked --bench scrape

verifier: ## show what the verifier of this kernel makes of each BPF program
	@scripts/install-dependencies.sh build
	$(CARGO_AS_ROOT) run --quiet --locked --example verifier

clean: ## remove everything that was built
	cargo clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 14
