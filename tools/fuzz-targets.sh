#!/usr/bin/env bash
# Prints "package target" for every fuzz target of the root module, read from the
# test files themselves: asking "go test -list" would link every package first.
set -euo pipefail
cd "$(dirname "$0")/.."

git ls-files -co --exclude-standard -- '*_test.go' ':!internal/conformance' |
	while IFS= read -r file; do
		[[ -e $file ]] || continue
		sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" |
			while IFS= read -r target; do
				echo "./$(dirname "$file") $target"
			done
	done | sort -u
