#!/usr/bin/env bash
# Tries a hub of its own with requests that schemathesis makes of the OpenAPI document: no request
# may be answered with a server error, and every answer must be as the document says.
#
#   tests/schemathesis.sh [arguments of schemathesis run]
#
# EXACT=1 also tells where the document is looser or stricter than the hub: what breaks the document
# should be refused, and what keeps to it taken. Its findings are to be judged one by one, since a
# document cannot say everything: that one of several fields is needed, that a time must be ahead, or
# that an empty text counts as nothing.
#
# Not a part of tests/run.sh, since it takes minutes. Needs python3, and installs schemathesis by
# pip into a venv of its own (OMNIHUB_TOOLS_DIR, default data/tools). OMNIHUB_BIN is the program to
# try (default: target/debug/omnihub, built). SECONDS_EACH bounds each phase (default 240).
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

readonly schemathesis=4.32.5
readonly key=schemathesis-root-key

checks=not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance
if [ -n "${EXACT:-}" ]; then
    checks+=,negative_data_rejection,positive_data_acceptance
fi

tools=${OMNIHUB_TOOLS_DIR:-$PWD/data/tools}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/omnihub-schemathesis.XXXXXX")
hub=

finish() {
    if [ -n "$hub" ]; then
        kill "$hub" 2>/dev/null || true
        wait "$hub" 2>/dev/null || true
    fi
    rm -rf -- "$scratch"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    printf 'schemathesis.sh: %s\n' "$1" >&2
    exit 1
}

# Calls a command until it succeeds, for a minute.
waited_for() {
    local what=$1
    shift
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return
        if [ -n "$hub" ] && ! kill -0 "$hub" 2>/dev/null; then break; fi
        sleep 0.1
    done
    tail -n 20 "$scratch/hub.log" >&2 || true
    fail "$what was not there within a minute"
}

command -v python3 >/dev/null || fail "python3 is not installed"
venv=$tools/schemathesis-$schemathesis
if [ ! -x "$venv/bin/schemathesis" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "schemathesis==$schemathesis"
fi
venv=$(cd "$venv" && pwd)

neighbours=${CARGO_TARGET_DIR:-target}/debug/examples/neighbours
cargo build --quiet --package omnihub-fakes --example neighbours
if [ -z "${OMNIHUB_BIN:-}" ]; then
    cargo build --quiet --package omnihub-cli --bin omnihub
    OMNIHUB_BIN=${CARGO_TARGET_DIR:-target}/debug/omnihub
fi
if [ -z "${OMNIHUB_NATS_SERVER:-}" ]; then
    OMNIHUB_NATS_SERVER=$(deploy/nats-server.sh)
    export OMNIHUB_NATS_SERVER
fi

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port

# A fake Evolution with these accounts and a fake agent, which end with their input.
exec 3> >("$neighbours" seeded acme changed gone >"$scratch/neighbours")
waited_for "the neighbours" grep --quiet AGENT_API_KEY "$scratch/neighbours"
set -a
# shellcheck source=/dev/null
. "$scratch/neighbours"
set +a

LOG_FORMAT=json API_HOST=127.0.0.1 API_PORT=$port OMNIHUB_API_KEY=$key OMNIHUB_API_RATE=1000000 OMNIHUB_DATA_DIR=$scratch/data \
    WHATSAPP_INSTANCE=seeded DEFAULT_AGENT_NAME=helper "$OMNIHUB_BIN" up >"$scratch/hub.log" 2>&1 3>&- &
hub=$!
waited_for "the hub" curl --silent --fail --output /dev/null "$url/readyz"

call() {
    curl --silent --show-error --fail-with-body -H "x-api-key: $key" -H 'content-type: application/json' "$@"
}
post() {
    call --output /dev/null --data "$2" "$url/$1" || fail "$1 was refused"
}
# One of everything, so that requests find something.
instance() {
    post api/v1/instances "{\"name\": \"$1\", \"is_default\": $2, \"default_agent\": \"helper\",
        \"evolution_url\": \"$EVOLUTION_API_URL\", \"evolution_key\": \"$EVOLUTION_API_KEY\",
        \"agent_api_url\": \"$AGENT_API_URL\", \"agent_api_key\": \"$AGENT_API_KEY\"}"
}
says() {
    call --data "{\"event\": \"messages.upsert\", \"instance\": \"acme\", \"data\": {\"messageTimestamp\": $(date +%s),
        \"key\": {\"remoteJid\": \"14155550100@s.whatsapp.net\", \"fromMe\": false, \"id\": \"$1\"},
        \"message\": {\"conversation\": \"$2\"}}}" "$url/webhook/evolution/acme?token=of-acme" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["trace_id"])'
}
is_answered() {
    call "$url/api/v1/traces/$answered" | grep --quiet '"outcome":"answered"'
}
instance acme true
call --output /dev/null --request PUT --data '{"webhook_secret": "of-acme"}' "$url/api/v1/instances/acme"
instance changed false
instance gone false
answered=$(says A1 hello)
dead=$(says A2 "refuse this")
waited_for "the dead letter" call --output /dev/null "$url/api/v1/dead-letters/$dead"
waited_for "the answer" is_answered
post api/v1/access/rules '{"phone_number": "+14155550100", "action": "allow", "instance_name": "acme"}'
post api/v1/instances/acme/conversations/acme_14155550100/pause '{"minutes": 5}'

# The values that name what is there. The default instance is neither changed nor deleted: without
# one, webhooks that name none are put off with 503, rightly.
cat >"$scratch/schemathesis.toml" <<TOML
[dictionaries]
acme = { values = ["acme"] }
traces = { values = ["$answered", "$dead"] }
dead = { values = ["$dead"] }
first = { values = [1] }
phones = { values = ["+14155550100"] }
sessions = { values = ["acme_14155550100"] }
waits = { values = [0, 1] }
delays = { values = [0] }
tokens = { values = ["of-acme"] }

[parameters]
"path.name" = { dictionary = "acme", probability = 0.8 }
"path.instance" = { dictionary = "acme", probability = 0.8 }
"path.trace_id" = { dictionary = "traces", probability = 0.8 }
"path.id" = { dictionary = "first", probability = 0.8 }
"path.phone" = { dictionary = "phones", probability = 0.8 }
"path.session" = { dictionary = "sessions", probability = 0.8 }
"query.instance_name" = { dictionary = "acme", probability = 0.8 }
"query.wait" = { dictionary = "waits" }
"body.wait" = { dictionary = "waits" }
"body.delay" = { dictionary = "delays" }
"query.token" = { dictionary = "tokens", probability = 0.8 }
"body.phone_number" = { dictionary = "phones", probability = 0.8 }
"body.instance_name" = { dictionary = "acme", probability = 0.8 }

[[operations]]
include-path-regex = "^/api/v1/dead-letters/"
parameters = { "path.id" = { dictionary = "dead", probability = 0.8 } }

# What others make has no phone to send from, which is 502, rightly.
[[operations]]
include-path-regex = "^/api/v1/instance/"
parameters = { "path.name" = "acme" }

[[operations]]
include-name = "POST /api/v1/instances/{name}/set-default"
parameters = { "path.name" = "acme" }

[[operations]]
include-name = "PUT /api/v1/instances/{name}"
parameters = { "path.name" = "changed" }

# Without its phone an account can neither send nor tell anything.
[[operations]]
include-path-regex = "^/api/v1/instances/[^/]+/(connect|disconnect|logout|restart|qr)$"
parameters = { "path.name" = "changed" }

[[operations]]
include-name = "DELETE /api/v1/instances/{name}"
parameters = { "path.name" = "gone" }
TOML

# An Evolution that nobody has is 502, rightly, and so is a key that it does not know.
cat >"$scratch/hooks.py" <<'PYTHON'
import os

import schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    if not case.path.startswith("/api/v1/instances") or not isinstance(body, dict):
        return
    body.pop("is_default", None)
    if str(body.get("evolution_url")).startswith("http"):
        body["evolution_url"] = os.environ["EVOLUTION_API_URL"]
    if isinstance(body.get("evolution_key"), str):
        body["evolution_key"] = os.environ["EVOLUTION_API_KEY"]
PYTHON

# The tail has no end, and is tried elsewhere.
cd "$scratch"
SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$scratch "$venv/bin/schemathesis" --config-file schemathesis.toml run "$url/api/v1/openapi.json" \
    --header "x-api-key: $key" \
    --exclude-path /api/v1/traces/tail \
    --checks "$checks" \
    --phases examples,coverage,fuzzing \
    --max-examples 40 \
    --max-time "${SECONDS_EACH:-240}" \
    --request-timeout 90 \
    --continue-on-failure \
    --no-color \
    "$@" || status=$?
grep -h '"level":"ERROR"\|panicked' "$scratch/hub.log" >&2 && fail "the hub logged errors" || true
exit "${status:-0}"
