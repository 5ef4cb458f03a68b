#!/usr/bin/env bash
# Builds the hub and runs it: one process, SQLite and a NATS server of its own in data/.
#
#   deploy/quickstart.sh [--build-only] [arguments of `omnihub up`]
set -euo pipefail

fail() {
    printf 'quickstart.sh: %s\n  remedy: %s\n' "$1" "$2" >&2
    exit 1
}

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

build_only=
if [ "${1:-}" = --build-only ]; then
    build_only=yes
    shift
fi

command -v cargo >/dev/null || fail "cargo is not installed" "install Rust 1.94 or newer from https://rustup.rs"
minor=$(cargo --version | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p')
if [ "${minor:-0}" -lt 94 ]; then fail "$(cargo --version) is too old" "install Rust 1.94 or newer: rustup update stable"; fi
command -v cc >/dev/null ||
    fail "there is no C compiler, which TLS and SQLite need" \
        "Debian: apt-get install build-essential; macOS: xcode-select --install"

OMNIHUB_NATS_SERVER=$(deploy/nats-server.sh)
export OMNIHUB_NATS_SERVER

cargo build --release --locked -p omnihub-cli
if [ -n "$build_only" ]; then exit 0; fi

target=$(cargo metadata --no-deps --format-version 1 --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
exec "$target/release/omnihub" up "$@"
