#!/usr/bin/env bash
# Fuzzes the readers of what strangers send: `webhook` and `events` (tests/fuzz), beginning with the
# recorded webhooks. Needs a nightly toolchain (rustup toolchain install nightly) and a C++ compiler;
# gets cargo-fuzz by itself (OMNIHUB_TOOLS_DIR, default data/tools).
#
#   tests/fuzz.sh [inputs for each target, default 1000000] [target ...]
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

readonly fuzz_version=0.13.1

fail() {
    printf 'fuzz.sh: %s\n  remedy: %s\n' "$1" "$2" >&2
    exit 1
}

inputs=${1:-1000000}
if [ $# -gt 0 ]; then shift; fi
if [ $# -eq 0 ]; then set -- webhook events; fi
case $inputs in
    *[!0-9]* | '') fail "$inputs is no number of inputs" "tests/fuzz.sh 1000000 webhook" ;;
esac

tools=${OMNIHUB_TOOLS_DIR:-$PWD/data/tools}
PATH=$tools/bin:$PATH
cargo +nightly --version >/dev/null 2>&1 || fail "there is no nightly toolchain" "rustup toolchain install nightly"
command -v c++ >/dev/null || fail "there is no C++ compiler" "Debian: apt-get install g++"
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --version "$fuzz_version" --locked --root "$tools"

host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
corpus=$(mktemp -d "${TMPDIR:-/tmp}/omnihub-fuzz.XXXXXX")
trap 'rm -rf -- "$corpus"' EXIT

for name in "$@"; do
    mkdir -p "$corpus/$name"
    cp -- common/src/channel/whatsapp/fixtures/[0-9]* "$corpus/$name/"
    printf '==> %s: %s inputs\n' "$name" "$inputs"
    cargo +nightly fuzz run --fuzz-dir tests/fuzz --target "$host" --target-dir "$target" "$name" "$corpus/$name" -- \
        -runs="$inputs" -max_len=16384 -print_final_stats=1
done
