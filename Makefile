# Yagura. `make run` starts it, `make test` runs every test, `make help` lists the rest.

SHELL   := bash
.SHELLFLAGS := -eu -o pipefail -c

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)

# One set of flags for everything, or the build cache is filled twice. The version is
# stamped by LDFLAGS; Go's own stamp fails in a checkout that somebody else owns.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath -buildvcs=false
INFO    := github.com/yagura-dev/yagura/cmd/internal/buildinfo
LDFLAGS := -s -w -X $(INFO).version=$(VERSION) -X $(INFO).commit=$(COMMIT)

BINARIES := yagura yagura-collector yagura-query yagura-autoscaler yagura-demo kubectl-yagura yagura-devcluster-provider
STAGE    := .ci/stage
FUZZTIME ?= 5s

.PHONY: help
help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

## ---- build -----------------------------------------------------------------

.PHONY: build
build: ui binaries bin/devcluster ## the binaries, into bin/

.PHONY: binaries
binaries:
	@mkdir -p bin
	go build -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./cmd/,$(BINARIES))

.PHONY: bin/devcluster
bin/devcluster:
	@mkdir -p bin
	cd deploy/devcluster && go build -ldflags '-s -w' -o ../../bin/devcluster .

.PHONY: ui
ui: ui/dist/index.html ## the web interface, into ui/dist

UI_SOURCES := $(shell find ui/src ui/public ui/index.html ui/package-lock.json ui/vite.config.ts ui/tsconfig.json -type f 2>/dev/null)

ui/node_modules/.package-lock.json: ui/package.json ui/package-lock.json
	cd ui && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

ui/dist/index.html: ui/node_modules/.package-lock.json $(UI_SOURCES)
	cd ui && npm run --silent build

.PHONY: devcluster
devcluster: bin/devcluster ## the Kubernetes binaries, into the cache
	bin/devcluster build

.PHONY: generate
generate: ## deep copies and CRDs from the API types, gRPC stubs from .proto files
	go tool controller-gen object paths=./autoscaler/api/...
	go tool controller-gen crd paths=./autoscaler/api/... output:crd:dir=deploy/crds
	go tool controller-gen crd paths=./autoscaler/api/... output:crd:dir=autoscaler/api/v1alpha1/crd
	go generate ./query/traces/jaegerpb/... ./autoscaler/provider/external/externalgrpc

## ---- run -------------------------------------------------------------------

# Ours first, so that the page is there at once. devcluster, a module of its own, and
# then the control plane are compiled at low priority while the platform runs already.
.PHONY: run
run: ui binaries ## Yagura on this host, a development cluster and a demo shop
	@nice -n 19 $(MAKE) --no-print-directory bin/devcluster & exec bin/yagura-demo run

## ---- check -----------------------------------------------------------------

.PHONY: check
check: lint unit ## lint, vet and unit tests

.PHONY: lint
lint: ## gofmt, vet, staticcheck, import rules, generated files
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt these:"; echo "$$out"; exit 1; }
	go vet ./...
	go vet -tags e2e ./cmd/yagura/e2e/...
	cd deploy/devcluster && go vet .  ./internal/...
	@mkdir -p bin && go build -o bin/importrules ./cmd/internal/importrules
	go vet -vettool=bin/importrules ./...
	go tool staticcheck ./...
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && \
	  go tool controller-gen crd paths=./autoscaler/api/... output:crd:dir=$$tmp && \
	  diff -r $$tmp deploy/crds || { echo "deploy/crds is out of date: make generate"; exit 1; }

.PHONY: unit
unit:
	go test -timeout 15m ./...

# Tests of these make and delete nodes of the cluster they run on, and judge where its
# scheduler puts pods: one at a time, and nobody else beside them.
NODE_TESTS := ./autoscaler/claim ./autoscaler/cluster/... ./autoscaler/drain ./autoscaler/nodes ./autoscaler/provider/... ./cmd/yagura-devcluster-provider

.PHONY: unit-nodes
unit-nodes:
	go test -p 1 -timeout 20m $$(go list $(NODE_TESTS) | grep -v /cluster/oracle$$)

# Its cluster has no nodes of its own: spread over zones would count them.
.PHONY: oracle
oracle: ## plans of random clusters, judged by the real scheduler ($$YAGURA_ORACLE_CASES, $$YAGURA_ORACLE_SEED)
	YAGURA_TEST_NODES=0 .ci/with-cluster go test -count=1 -timeout 20m -v ./autoscaler/cluster/oracle

.PHONY: unit-others
unit-others:
	go test -timeout 15m $$(go list ./... | grep -vxFf <(go list $(NODE_TESTS)))

.PHONY: race
race:
	@packages=$$(.ci/packages); [ -n "$$packages" ]; \
	nodes=$$(go list $(NODE_TESTS)); \
	CGO_ENABLED=1 go test -race -timeout 15m $$(grep -vxF "$$nodes" <<<"$$packages") && \
	CI= YAGURA_TEST_KUBECONFIG= CGO_ENABLED=1 go test -race -short -timeout 15m $$(grep -xF "$$nodes" <<<"$$packages")

.PHONY: bench
bench: ## the benchmarks of the hot paths
	go test -run '^$$' -bench . -benchmem $$(go list ./... | grep -v /e2e)

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each
	FUZZTIME=$(FUZZTIME) .ci/fuzz

.PHONY: ui-test
ui-test: ui/node_modules/.package-lock.json
	cd ui && npm run --silent lint && npm run --silent test

.PHONY: e2e-fleet
e2e-fleet: ## end to end on a fleet of simulated nodes, and in a real browser
	go test -tags e2e -count=1 -v -timeout 20m -run TestFleet ./cmd/yagura/e2e

.PHONY: e2e-node
e2e-node: ## end to end on two real kubelets (Linux, root)
	go test -tags e2e -count=1 -v -timeout 15m -run TestNode ./cmd/yagura/e2e

.PHONY: test
test: ## everything that CI runs
	@export YAGURA_STAGES=$$(mktemp); \
	trap 'echo; echo "where the time went:"; cat $$YAGURA_STAGES; rm -f $$YAGURA_STAGES' EXIT; \
	$(STAGE) 'install what the tests need' .ci/install; \
	$(STAGE) 'ui: install, type-check, build' $(MAKE) --no-print-directory ui; \
	$(STAGE) 'ui: lint and unit tests' $(MAKE) --no-print-directory ui-test; \
	$(STAGE) 'build our binaries' $(MAKE) --no-print-directory build; \
	$(STAGE) 'lint' $(MAKE) --no-print-directory lint; \
	$(STAGE) 'build Kubernetes' $(MAKE) --no-print-directory devcluster; \
	$(STAGE) 'unit, crash and differential tests' env YAGURA_BIG=1 .ci/with-cluster $(MAKE) --no-print-directory unit-others; \
	$(STAGE) 'nodes on a real control plane' .ci/with-cluster $(MAKE) --no-print-directory unit-nodes; \
	$(STAGE) 'plans and the real scheduler' $(MAKE) --no-print-directory oracle; \
	$(STAGE) 'devcluster tests' bash -c 'cd deploy/devcluster && go test -count=1 -timeout 15m . ./internal/...'; \
	$(STAGE) 'race' .ci/with-cluster $(MAKE) --no-print-directory race; \
	$(STAGE) 'fuzz' $(MAKE) --no-print-directory fuzz; \
	$(STAGE) 'end to end: fleet' $(MAKE) --no-print-directory e2e-fleet; \
	$(STAGE) 'end to end: nodes' $(MAKE) --no-print-directory e2e-node

.PHONY: clean
clean: ## what make built here (not the cache of Kubernetes binaries)
	rm -rf bin ui/node_modules
	find ui/dist -mindepth 1 ! -name .keep -delete
