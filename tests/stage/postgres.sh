#!/usr/bin/env bash
# A throw-away PostgreSQL cluster for tests.
#
#   postgres.sh find         prints the folder of initdb and pg_ctl
#   postgres.sh start PID    starts a cluster on a free loopback port; prints its admin URL, then
#                            the process id of its watcher, which stops the cluster and deletes
#                            it when PID ends or when the watcher gets SIGTERM, then its folder
#   postgres.sh halt FOLDER  stops the cluster at once, as a crash does; its data stays
#   postgres.sh again FOLDER starts it again on its port
#   postgres.sh drop FOLDER  stops it and deletes the folder
#
# PostgreSQL refuses to run as root: started by root, the cluster belongs to `postgres` or `nobody`.
set -euo pipefail

fail() {
    printf 'postgres.sh: %s\n' "$*" >&2
    exit 1
}

# Prints the folders where PostgreSQL's programs may be, the newest version first.
places() {
    local initdb
    if initdb=$(command -v initdb); then dirname -- "$initdb"; fi
    if command -v pg_config >/dev/null; then pg_config --bindir; fi
    local place
    for place in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
        /Applications/Postgres.app/Contents/Versions/latest/bin; do
        if [ -d "$place" ]; then printf '%s\n' "$place"; fi
    done | sort -r
}

find_programs() {
    local place
    while read -r place; do
        if [ -x "$place/initdb" ] && [ -x "$place/pg_ctl" ] && [ -x "$place/postgres" ]; then
            printf '%s\n' "$place"
            return 0
        fi
    done < <(places)
    return 1
}

# Leaves the owner of clusters in `owner`; none when this is not root.
find_owner() {
    owner=
    if [ "$(id -u)" = 0 ]; then
        owner=nobody
        if id postgres >/dev/null 2>&1; then owner=postgres; fi
    fi
}

# Runs a command as the cluster's owner.
as_owner() {
    if [ -z "$owner" ]; then
        "$@"
    elif command -v runuser >/dev/null; then
        runuser -u "$owner" -- "$@"
    else
        sudo -n -u "$owner" -- "$@"
    fi
}

stop() {
    as_owner "$programs/pg_ctl" stop -D "$folder/data" -m immediate -s >/dev/null 2>&1 || true
    rm -rf -- "$folder"
}

launch() {
    as_owner "$programs/pg_ctl" start -D "$folder/data" -l "$folder/log" -w -s -o "$options" \
        </dev/null >/dev/null 2>&1
}

# Tries random ports until PostgreSQL can bind one, and leaves it in `port`.
start_server() {
    local options try
    for try in 1 2 3 4 5 6 7 8 9 10; do
        port=$((10000 + RANDOM % 22000))
        # A crash of the server loses nothing; a crash of the machine may lose all of it.
        options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=400"
        options="$options -c fsync=off -c full_page_writes=off"
        if launch; then
            printf '%s\n' "$options" >"$folder/options"
            return 0
        fi
        grep -q 'could not bind' "$folder/log" || break
    done
    cat "$folder/log" >&2 2>/dev/null || true
    fail "the cluster did not start (attempt $try)"
}

watch() {
    trap 'stop; exit 0' TERM
    trap '' INT HUP
    while kill -0 "$1" 2>/dev/null; do
        sleep 1 &
        wait $! || true
    done
    stop
}

start() {
    programs=$(find_programs) ||
        fail "no initdb found: install PostgreSQL (Debian: apt-get install postgresql; macOS: brew install postgresql@16)"
    find_owner
    local parent=${TMPDIR:-/tmp}
    # The owner must be able to reach the folder; root's own TMPDIR may be closed to it.
    if [ -n "$owner" ]; then parent=/tmp; fi
    folder=$(mktemp -d "${parent%/}/omnihub-postgres.XXXXXX")
    if [ -n "$owner" ]; then chown "$owner" "$folder"; fi
    cd -- "$folder"
    if ! as_owner "$programs/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync \
        >"$folder/initdb.log" 2>&1; then
        cat "$folder/initdb.log" >&2
        rm -rf -- "$folder"
        fail "initdb failed"
    fi
    trap stop EXIT
    start_server
    trap - EXIT
    cd /
    watch "$1" </dev/null >/dev/null 2>&1 &
    printf 'postgres://postgres@127.0.0.1:%s/postgres\n%s\n%s\n' "$port" "$!" "$folder"
}

# Sets what `stop` and `launch` need for a cluster that was started before.
enter() {
    folder=$1
    [ -f "$folder/options" ] || fail "no cluster in $folder"
    programs=$(find_programs) || fail "no initdb found"
    find_owner
    options=$(cat "$folder/options")
    cd /
}

halt() {
    as_owner "$programs/pg_ctl" stop -D "$folder/data" -m immediate -w -s >/dev/null 2>&1 || true
}

again() {
    launch && return 0
    tail -n 20 "$folder/log" >&2
    fail "the cluster did not start again"
}

case "${1:-}" in
find) find_programs || exit 1 ;;
start) start "${2:?the process id to watch}" ;;
halt) enter "${2:?the folder}" && halt ;;
again) enter "${2:?the folder}" && again ;;
drop) enter "${2:?the folder}" && stop ;;
*) fail "usage: postgres.sh find | start PID | halt FOLDER | again FOLDER | drop FOLDER" ;;
esac
