#!/bin/sh
# Posts each webhook body form to a running hub and prints the answers.
#
#   tests/try/try.sh [INSTANCE]     without a name the default instance is meant
#   OMNIHUB_URL=http://host:port    another hub than http://127.0.0.1:8882
#
# Each run gives the messages ids and times of their own, so that none is a duplicate.
set -eu

folder=$(cd "$(dirname "$0")" && pwd)
url="${OMNIHUB_URL:-http://127.0.0.1:8882}/webhook/evolution${1:+/$1}"
now=$(date +%s)
run="TRY$(date +%Y%m%d%H%M%S)P$$"

# The files' placeholder id and time become those of this run.
fresh() {
    sed -e "s/TRYRUN/$run/g" -e "s/1795310417/$now/g"
}

# The same inside the base64 of `data`.
fresh_base64() {
    data=$(sed -n 's/.*"data": "\([^"]*\)".*/\1/p' "$1" | base64 --decode | fresh | base64 | tr -d '\n')
    sed "s|\"data\": \"[^\"]*\"|\"data\": \"$data\"|" "$1"
}

failed=0
for form in single messages base64 bare; do
    if [ "$form" = base64 ]; then
        body=$(fresh_base64 "$folder/$form.json")
    else
        body=$(fresh <"$folder/$form.json")
    fi
    printf '%s: ' "$form"
    printf '%s' "$body" | curl -sS -X POST -H 'content-type: application/json' --data-binary @- \
        -w ' (%{http_code})\n' "$url" || failed=1
done
exit "$failed"
