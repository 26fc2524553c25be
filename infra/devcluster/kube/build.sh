#!/bin/sh
# build.sh OUT: one static binary of all Kubernetes components and etcd, from the Go module proxy
set -e
V=v1.36.3 P=k8s.io/component-base/version
export CGO_ENABLED=0
cd "$(dirname "$0")"
exec go build -v -trimpath -buildvcs=false -ldflags "-s -w \
 -X $P.gitVersion=$V -X $P.gitMajor=1 -X $P.gitMinor=36 -X $P.gitTreeState=clean -X $P.gitCommit=unknown \
 -X k8s.io/client-go/pkg/version.gitVersion=$V" -o "${1:-kube}" .
