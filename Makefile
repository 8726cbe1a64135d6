# `make help` lists the targets. Loops over modules and installs live in .ci/, so that each recipe
# is one plain command: GNU make 3.81 (macOS) knows neither .SHELLFLAGS nor .ONESHELL.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

FUZZTIME  ?= 10s
BENCHTIME ?= 1s
NEMESIS   ?= 60
SOAK      ?= 30m
OVERLOAD  ?= 10
STRETCH   ?= 1
TIMEOUT   ?= 20m
# Tests of a package at a time: many wait for a server, or for time to pass.
PARALLEL  ?= 4
ARGS      ?=

GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT_MODULE  := github.com/golangci/golangci-lint/v2
GOLANGCI_LINT         := $(CURDIR)/.bin/$(GOLANGCI_LINT_VERSION)/golangci-lint

# Never download a toolchain: a build uses the Go that is installed.
export GOTOOLCHAIN ?= local
# A clone that git distrusts (another owner, no git at all) must not break a build.
export GOFLAGS := $(GOFLAGS) $(if $(findstring -buildvcs,$(GOFLAGS)),,-buildvcs=false)
# A module is checked as its users build it, by its own go.mod. In go.work the greatest version that
# any of the modules asks for holds for all; IN_WORKSPACE is for what needs several of them.
export GOWORK := off
IN_WORKSPACE  := GOWORK='$(CURDIR)/go.work'

.PHONY: help fmt format fmt-fix vet workspace tidy-check lint redis test schedules fuzz bench bench-once nemesis soak overload mutants cover ci run clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

fmt: ## check the formatting (fmt-fix mends it)
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "gofmt would change (make fmt-fix):"; echo "$$unformatted"; exit 1; }

format: fmt ## the same as fmt

fmt-fix: ## format every Go file
	gofmt -w .

vet: workspace ## go vet, in every module by itself, and in the workspace
	.ci/each-module go vet ./...

workspace: # go.work names every module, and they build together
	$(IN_WORKSPACE) .ci/each-module go vet ./...

tidy-check: ## go.mod and go.sum are tidy, in every module
	.ci/each-module go mod tidy -diff

lint: $(GOLANGCI_LINT) ## golangci-lint, built on demand, in every module
	.ci/each-module $(GOLANGCI_LINT) run --config $(CURDIR)/.golangci.yml ./...

$(GOLANGCI_LINT):
	GOBIN=$(@D) go install $(GOLANGCI_LINT_MODULE)/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

redis: # a redis-server for the tests that start one
	@.ci/need redis-server redis-server

test: redis ## vet and test with the race detector, in every module
	.ci/each-module go vet ./...
	.ci/each-module go test -race -parallel $(PARALLEL) -timeout $(TIMEOUT) ./...

schedules: redis ## every random schedule of a race, 10,000 of each; `make test` has a tenth, with the race detector
	go test -timeout $(TIMEOUT) ./internal/schedules

fuzz: redis ## run each fuzz target for FUZZTIME (10s)
	.ci/each-module $(CURDIR)/.ci/fuzz $(FUZZTIME)

bench: redis ## run every benchmark for BENCHTIME (1s)
	.ci/each-module go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -timeout 60m ./...

bench-once: redis ## run every benchmark once, to see that it still works
	.ci/each-module go test -run '^$$' -bench . -benchmem -benchtime 1x -timeout $(TIMEOUT) ./...

nemesis: redis ## look for stale sessions while all sorts of things fail, NEMESIS (60) seconds for each strategy
	cd internal/checker && go test -count 1 -v -run TestNemesis -timeout 60m ./... -seconds $(NEMESIS)

soak: redis ## the same for SOAK (30m), divided among the strategies
	cd internal/checker && go test -count 1 -v -run TestSoak -timeout 24h ./... -soak $(SOAK)

overload: redis ## sessions beside the bare client on a Redis that becomes slow, for OVERLOAD (10) rounds; STRETCH=10 on a busy machine
	cd internal/bench && go test -count 1 -v -run TestOverload -timeout 60m . -overload $(OVERLOAD) -stretch $(STRETCH)

mutants: redis ## take each guard out in turn; fails if no test notices one
	go run ./internal/mutants/hunt $(ARGS)

cover: redis ## test coverage by function, in coverage.out
	$(IN_WORKSPACE) go test -coverpkg ./...,./app/... -coverprofile coverage.out -timeout $(TIMEOUT) ./... ./app/...
	$(IN_WORKSPACE) go tool cover -func coverage.out

ci: ## everything that CI checks
	bash .ci/run

run: ## start the example shop: make run ARGS='-config app/configs/redis.yaml'
	$(IN_WORKSPACE) go run ./app $(ARGS)

clean: ## remove what the targets made
	rm -rf .bin coverage.out
	go clean -testcache
