#!/bin/sh
# build.sh OUT: one static binary of the cluster's add-ons, from the Go module proxy
set -e
export CGO_ENABLED=0
cd "$(dirname "$0")"
exec go build -v -trimpath -buildvcs=false -ldflags "-s -w" -o "${1:-addons}" .
