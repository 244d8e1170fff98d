# SPDX-License-Identifier: Apache-2.0

# `make run` does the main job, `make test` tests everything; both install what
# is missing. `make help` lists the rest.

GO       ?= go
CACHE    := $(CURDIR)/.cache
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  := -X main.version=$(VERSION)
ARGS     ?=
FUZZTIME ?= 10s
KERNEL   ?= bookworm
KERNELS  ?= bookworm bookworm-backports
LINT     := $(CACHE)/golangci-lint
TESTSUM  := $(CACHE)/gotestsum

# Tests that time real guests can fail on a machine that is busy with something else.
# What failed is run once more, and told as flaky if it passes then (CONTRIBUTING.md).
RETRY     = $(TESTSUM) --rerun-fails=1 --rerun-fails-max-failures=10 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race \
	--rerun-fails-report $(CACHE)/flaky-$@ --hide-summary skipped
FLAKY     = if [ -s $(CACHE)/flaky-$@ ]; then echo "FLAKY, each passed when run again:"; cat $(CACHE)/flaky-$@; fi

export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/ukprobe
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ukprobe ./cmd/ukprobe

.PHONY: run
run: setup-run build ## run the built-in matrix (ARGS= for more flags)
	./bin/ukprobe run --cache $(CACHE)/images $(ARGS)

.PHONY: test
test: check unit e2e hostvm-test ## all tests: checks, unit, end to end, and those on other kernels

.PHONY: unit
unit: setup-test images $(TESTSUM) ## unit tests with the race detector, as root
	@rm -f $(CACHE)/flaky-$@
	CGO_ENABLED=1 $(RETRY) --format standard-quiet --packages "$$($(GO) list ./... | grep -v -e /test/e2e -e /test/hostvm | tr '\n' ' ')" -- -race -count=1 -p 2
	@$(FLAKY)

.PHONY: fuzz
fuzz: ## fuzz every parser of foreign input for FUZZTIME each
	scripts/fuzz $(FUZZTIME)

.PHONY: e2e
e2e: setup-test build images $(TESTSUM) ## end-to-end tests on this machine
	@rm -f $(CACHE)/flaky-$@
	UKPROBE_BINARY=$(CURDIR)/bin/ukprobe $(RETRY) --format standard-verbose --packages "./test/e2e ./test/hostvm" -- -count=1 -timeout 30m -skip TestHostVM
	@$(FLAKY)

.PHONY: hostvm-test
hostvm-test: setup-test build images ## the end-to-end tests on KERNELS, under emulation
	UKPROBE_BINARY=$(CURDIR)/bin/ukprobe HOSTVM_KERNELS='$(KERNELS)' $(GO) test -count=1 -timeout 60m -run TestHostVM -v ./test/e2e

.PHONY: images
images: build setup-test ## build the images of Linux guests and processes, and one kernel of lupine
	./bin/ukprobe image build --cache $(CACHE)/images
	./bin/ukprobe image build --cache $(CACHE)/images lupine nginx

.PHONY: hostvm
hostvm: ## a shell, or CMD='…', on Debian's KERNEL under emulation
	@mkdir -p $(CACHE)/hostvm
	@$(GO) build -o $(CACHE)/hostvm/hostvm ./test/hostvm/cmd/hostvm
	@$(CACHE)/hostvm/hostvm --kernel $(KERNEL) $(if $(CMD),-- sh -c '$(CMD)')

.PHONY: bench
bench: setup-bench ## what the probes cost, beside other tools (ARGS='--only tools')
	$(GO) run ./test/bench $(ARGS)

# Everything is slow under emulation: fewer rounds, smaller guests.
HOSTVM_BENCH := --only tools,quantiles --condition auto,full,perf\ kvm\ stat\ record,perf\ kvm\ stat\ live,bpftrace,trace-cmd,kvmexit,none\ again \
	--tool-rounds 6 --pio 400 --tool-pio 2000 --tool-cpuid 4000

.PHONY: bench-hostvm
bench-hostvm: setup-bench ## the same on Debian's KERNEL under emulation: ratios and counts
	@mkdir -p $(CACHE)/hostvm
	@$(GO) build -o $(CACHE)/hostvm/hostvm ./test/hostvm/cmd/hostvm
	@$(GO) build -o $(CACHE)/hostvm/bench ./test/bench
	@$(CACHE)/hostvm/hostvm --kernel $(KERNEL) --timeout 60m -- $(CACHE)/hostvm/bench $(HOSTVM_BENCH) $(ARGS)

.PHONY: check
check: generated lint ## generated files reproduce; vet, lint, formats

.PHONY: generate
generate: ## rebuild the BPF objects, the reference guest and the dashboards
	$(GO) generate ./bpf ./dashboards
	$(MAKE) -C guests/reference

.PHONY: generated
generated: setup-test ## check that generated files are what the sources give
	scripts/check-generated

.PHONY: lint
lint: setup-test $(LINT) ## go vet, golangci-lint, gofmt, clang-format, shellcheck
	scripts/lint $(LINT)

$(LINT): tools/go.mod
	cd tools && $(GO) build -o $(LINT) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(TESTSUM): tools/go.mod
	cd tools && $(GO) build -o $(TESTSUM) gotest.tools/gotestsum

.PHONY: setup-run setup-test setup-bench
setup-run setup-test setup-bench: setup-%:
	@scripts/setup $*

.PHONY: clean
clean: ## remove what was built (not the host's leftovers: ukprobe clean)
	rm -rf bin
