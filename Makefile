# Each target does what its name says; CI calls `make test`, which needs nothing prepared by hand.
# Any of them may be run again and again; what is there is not built or fetched twice.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: help demo ensemble test check lint fmt peers python deb package-test bench soak mutants fuzz

# The parallel test runner if there is one; the plain one does as well.
NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)

# `--doc` runs the examples of these too, whatever their manifests say; they are the sources of zooky and its client a
# second time, by other names.
NO_DOCTESTS := --exclude zooky-client-simulated --exclude zooky-simulated

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: ## three processes contend for one lock
	cargo run --release -- demo

ensemble: ## three Apache ZooKeepers on loopback, until Ctrl-C
	@tests/peers/install
	@cargo run --quiet -p zooky-testkit --example apache -- ensemble 2000 --until-signalled

test: peers lint ## everything that must hold before a change is merged
	cargo test --workspace --doc $(NO_DOCTESTS)
ifeq ($(NEXTEST),yes)
	cargo nextest run --workspace
else
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-2} cargo test --workspace --lib --bins --tests --no-fail-fast
endif
	cargo test -p zooky-cli --features otel --test otel
	python/check
	fuzz/run --where-possible

check: lint ## the inner loop: style, lints, the rules of the house, unit tests
	cargo test --workspace --lib --bins
	cargo test -p zooky-testkit --test house

lint: ## formatting, and no warnings
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

fmt: ## mend the formatting
	cargo fmt --all

peers: ## the real servers and clients that tests need, where they are missing
	@tests/peers/install

python: peers ## the Python package: its wheel, its types, its tests (a part of `test`)
	python/check

deb: ## a Debian package of the static command, into target/debian
	packaging/deb

package-test: peers ## builds that package, and takes a lock in a fresh root with nothing else in it (a part of `test`)
	cargo test -p zooky-cli --test package

bench: peers ## zooky beside its peers, into docs/benchmarks.md
	cargo build --release -p zooky-cli -p zooky-bench
	target/release/zooky-bench

soak: peers ## the long versions of the tests that go on for as long as one lets them (as root: one mounts disks)
ifeq ($(NEXTEST),yes)
	cargo nextest run --workspace --release --profile soak --run-ignored only soak
else
	cargo test --workspace --release -- --ignored soak
endif
	tests/mutants/run power-no-fsync

mutants: peers ## seeded bugs, each of which must make a test fail
	tests/mutants/run

fuzz: ## each fuzz target for a minute (ZOOKY_FUZZ_SECONDS)
	fuzz/run
