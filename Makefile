# `make help` lists what can be done. Everything is built with one cargo profile, and by default outside the
# checkout: RocksDB takes 9 of the 12 minutes of a first build on 2 cores, and is then built once for all clones.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/cairn-target
PREFIX ?= $(HOME)/.local
KILLS ?= 10000
POWER_LOSSES ?= 500
FUZZ_SECONDS ?= 60
BENCH ?=
BIN := $(CARGO_TARGET_DIR)/release

.PHONY: help setup build demo test lint bench fuzz crash interop browser install uninstall man

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /  make \1 — /p' Makefile

setup:
	@sh scripts/setup.sh

build: setup ## The program, in $CARGO_TARGET_DIR/release (12 minutes the first time on 2 cores)
	@test -e $(BIN)/cairn || echo "The first build takes about 12 minutes on 2 cores, most of it for RocksDB; later ones are quick."
	cargo build --release --bins

demo: build ## A real folder through the whole program (seconds, after the build)
	sh scripts/demo.sh $(BIN)/cairn

test: build ## All tests, 200 kills and some power losses among them (10 minutes, after the build)
	@sh scripts/setup.sh test
	cargo test --release --workspace
	cargo test --release --workspace --features cairn-store/shuttle --test interleave
	$(BIN)/crash --kills 200
	$(BIN)/powerloss --losses 60
	sh tests/netns/lan.sh $(BIN)/cairn
	sh tests/netns/nat.sh $(BIN)/cairn

lint: setup ## Format and lints
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets -- -D warnings

bench: build ## Speed and memory against this machine's ceilings, and Kubo if it is on the PATH
	$(BIN)/bench --output docs/PERFORMANCE.md $(BENCH)

fuzz: setup ## The parsers, FUZZ_SECONDS each; guided by coverage where a nightly and cargo-fuzz are at hand
	sh fuzz/run $(FUZZ_SECONDS)

crash: build ## KILLS kills and POWER_LOSSES power losses (about an hour)
	$(BIN)/crash --kills $(KILLS)
	$(BIN)/powerloss --losses $(POWER_LOSSES)

interop: build ## Other implementations: CIDs, Helia, js-libp2p, verified-fetch, kubo-rpc-client, and Kubo if it is on the PATH (needs Node.js)
	sh tests/interop/run.sh $(BIN)/cairn

browser: build ## The gateway's pages, a website and a video in headless Chromium (needs Node.js)
	@sh scripts/setup.sh browser
	sh tests/browser/run.sh $(BIN)/cairn

install: build ## Into PREFIX (~/.local): the program, man pages and completions
	sh scripts/install.sh $(BIN)/cairn $(DESTDIR)$(PREFIX)

uninstall: ## Removes what `make install` put into PREFIX
	sh scripts/install.sh --remove $(DESTDIR)$(PREFIX)
