#!/usr/bin/env bash
# Runs every fuzz target of the root module for FUZZTIME (default 60s) each.
# "go test -fuzz" takes one target of one package at a time, hence the loop.
set -euo pipefail
cd "$(dirname "$0")/.."

fuzztime=${FUZZTIME:-60s}
targets=0
while read -r pkg target; do
	echo "fuzz $pkg $target for $fuzztime"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" "$pkg"
	targets=$((targets + 1))
done < <(tools/fuzz-targets.sh)

if ((targets == 0)); then
	echo "no fuzz targets found: the search for them is broken" >&2
	exit 1
fi
echo "$targets fuzz targets, nothing found"
