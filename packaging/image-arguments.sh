#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the arguments of `docker build` or `podman build` that fill in the labels, from what a publisher sets in Cargo.toml.
set -eu
cd "$(dirname "$0")/.."
setting() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" Cargo.toml | head -n 1; }
printf -- '--build-arg=%s ' "VERSION=$(setting version)" "REPOSITORY=$(setting repository)" \
	"REVISION=$(git rev-parse HEAD)" "CREATED=$(git log -1 --format=%cI)"
printf -- '--tag=%s:%s\n' "$(setting image)" "$(setting version)"
