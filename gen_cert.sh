#!/bin/sh
# Makes a certificate and its key in ./key_store, and first the CA where there is none.
#   gen_cert.sh server             for this host: localhost, 127.0.0.1 and its name
#   gen_cert.sh NAME               for the user NAME
#   gen_cert.sh --frontend NAME    for a service that acts for all users
set -eu

usage() {
    sed -n '2,5s/^# \{0,1\}//p' "$0"
}

role=user
case "${1-}" in
-h | --help) usage; exit 0 ;;
--frontend) role=frontend; shift ;;
-*) usage >&2; exit 2 ;;
esac
[ $# -eq 1 ] && [ -n "$1" ] || { usage >&2; exit 2; }

playground="$(dirname -- "$0")/.venv/bin/playground"
[ -x "$playground" ] || playground=$(command -v playground) || {
    echo "gen_cert.sh: playground is neither in .venv/bin nor on PATH" >&2
    exit 1
}

[ -e key_store/ca/ca.crt ] || "$playground" certs init || [ -e key_store/ca/ca.crt ]
if [ "$role $1" = "user server" ]; then
    exec "$playground" certs server -- localhost 127.0.0.1 "$(uname -n)"
fi
exec "$playground" certs issue -- "$role" "$1"
