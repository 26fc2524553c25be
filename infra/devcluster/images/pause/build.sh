#!/bin/sh
# build.sh OUT: the program that holds a pod's namespaces, one small static binary
set -e
export CGO_ENABLED=0
cd "$(dirname "$0")"
exec go build -v -trimpath -buildvcs=false -ldflags "-s -w" -o "${1:-pause}" .
