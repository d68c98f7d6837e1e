# Holdfast's workshop. "make help" lists what there is; every target works on a fresh
# machine with Go, a C compiler (for the race detector) and the Go module proxy.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-builtin-rules --no-print-directory

GO   ?= go
TOOL := $(GO) tool -modfile=tools/go.mod

# How long "make fuzz" and "make test" spend on each fuzz target.
FUZZTIME ?= 60s

# What the binary says of itself. Empty values are filled in by internal/version.
VERSION := $(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null | sed 's/^v//')
COMMIT  := $(shell git describe --always --abbrev=40 --exclude '*' --dirty 2>/dev/null)
DATE    := $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)

PKG     := github.com/holdfast-kv/holdfast/internal/version
LDFLAGS := -s -w -X $(PKG).Version=$(VERSION) -X $(PKG).Commit=$(COMMIT) -X $(PKG).BuildDate=$(DATE)

# The Go files under version control or about to be, without the generated ones.
GOFILES = git ls-files -co --exclude-standard -- '*.go' ':!*.pb.go'

# The modules that are not the root.
CONFORMANCE := internal/conformance
MODULES     := . tools $(CONFORMANCE)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build and run a server that keeps everything in memory (stop it with ctrl-c)
	@exec bin/holdfast agent -dev $(ARGS)

.PHONY: build
build: ## build bin/holdfast: static, stripped, version stamped
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/holdfast ./cmd/holdfast

.PHONY: check
check: ## the fast checks: build, format, vet, staticcheck, short tests
	$(GO) build ./...
	@$(MAKE) fmt-check lint
	$(GO) test -short ./...

.PHONY: test
test: ## everything CI runs, with the race detector
	@$(MAKE) build fmt-check lint stale
	$(GO) test -race -timeout 40m $$($(GO) list ./... | grep -v -e '/internal/contract$$' -e '/internal/clustertest$$' -e '/internal/torture/faults$$')
	$(GO) test -race -timeout 20m -p 1 ./internal/contract ./internal/clustertest # one at a time: some of their cases measure time
	$(GO) test -timeout 15m ./internal/torture/faults # alone, and as fast as it is meant to be
	cd $(CONFORMANCE) && $(GO) test -race -timeout 20m ./...
	@$(MAKE) test-memory test-nethttp demo
	@$(MAKE) fuzz FUZZTIME=5s

# The second way to serve HTTP/1.1. The tests of the contract and of httpapi run in both by
# themselves.
NETHTTP := HOLDFAST_TEST_HTTP_SERVER=net/http $(GO) test -race -timeout 20m

.PHONY: test-nethttp
test-nethttp: ## the tests that start servers once more, with requests read by net/http
	$(NETHTTP) ./internal/crashtest ./api ./cmd/holdfast ./agent # the longest first
	$(NETHTTP) ./internal/clustertest
	cd $(CONFORMANCE) && $(NETHTTP) ./...

.PHONY: test-memory
test-memory: ## the packages whose tests hold bounds of memory, and internal/http1, without the race detector
	$(GO) test ./httpapi ./acl ./fsm ./internal/metrics ./agent/logstore/... # with it, pools forget what is in them
	$(GO) test ./internal/http1 # with it, this makes other calls of the system

.PHONY: fmt
fmt: ## format the Go files
	@$(GOFILES) | xargs -r $(TOOL) gofumpt -w

.PHONY: fmt-check
fmt-check:
	@out=$$($(GOFILES) | xargs -r $(TOOL) gofumpt -l); \
	if [[ -n $$out ]]; then printf 'not formatted; run "make fmt":\n%s\n' "$$out"; exit 1; fi

.PHONY: lint
lint: ## go vet and staticcheck on all modules, buf lint on the schema
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	cd $(CONFORMANCE) && $(GO) vet ./... && $(GO) tool -modfile=$(CURDIR)/tools/go.mod staticcheck ./...
	$(TOOL) buf lint

.PHONY: generate
generate: ## write the generated Go files anew
	$(TOOL) buf generate

.PHONY: tidy
tidy: ## go mod tidy in every module
	@for m in $(MODULES); do (cd $$m && echo "tidy $$m" && $(GO) mod tidy); done

.PHONY: stale
stale: ## fail when a generated file or a go.mod is not what its source makes of it
	@tools/stale.sh
	@for m in $(MODULES); do (cd $$m && echo "go mod tidy -diff ($$m)" && $(GO) mod tidy -diff); done

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (60s)
	@FUZZTIME=$(FUZZTIME) tools/fuzz.sh

.PHONY: bench
bench: ## measure the server against the machine's limits (see internal/bench)
	$(GO) run ./internal/bench $(ARGS)

# Three short rounds of every cell: enough for ratios, and over in a quarter of an hour.
BENCH_SHORT = $(GO) run ./internal/bench -rounds=3 -round=1s

.PHONY: bench-check
bench-check: ## fail if the server has fallen behind the committed ratios, or misses a bar (by hand, before a release)
	$(BENCH_SHORT) -baseline internal/bench/ratios.json $(ARGS)

.PHONY: bench-record
bench-record: ## commit to the ratios of this machine, and write the page of results
	$(BENCH_SHORT) -record internal/bench/ratios.json -markdown website/reference/performance.md $(ARGS)

.PHONY: torture
torture: ## break real clusters under load and report what it cost: ARGS='-fault=kill-leader -runs=10 -servers=3 -seed=1 -duration=1h'
	$(GO) test -count=1 -timeout 0 -v -run '^TestLong$$' ./internal/torture/faults -args -long $(ARGS)

.PHONY: demo
demo: build ## a real configuration tree, imported, watched, changed and rolled back
	@HOLDFAST_BIN=$(CURDIR)/bin/holdfast examples/petclinic/demo.sh

.PHONY: vuln
vuln: ## look for known vulnerabilities (asks the Go vulnerability database)
	$(TOOL) govulncheck ./...

.PHONY: clean
clean: ## remove what the targets above built
	rm -rf bin
