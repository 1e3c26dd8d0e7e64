# SPDX-License-Identifier: GPL-3.0-or-later
#
# `make help` says what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# The interpreter of .venv: the newest that works, unless PYTHON names one.
PYTHON ?=

# The lab: which Kubernetes, how many hosts, and where it lives.
KUBE ?= 1.37
CONTROL_PLANES ?= 1
WORKERS ?= 1
LAB ?= build/lab
LAB_TOOL := tests/lab/lab
# The versions of Kubernetes that `make test` needs the lab's parts of; `make test-all` needs all that there are.
KUBE_TESTED ?= 1.37 1.36
# The tests that are wanted, in pytest's words; `make test-all` wants all.
WANTED ?= not slow
export WANTED
# Tests on directories that are targets of their own, so that two lanes can share them.
HOSTS := tests/lab/test_directory_hosts.py
KILLS := tests/lab/test_directory_kills.py
MUTATIONS := tests/lab/test_directory_mutations.py

export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONDONTWRITEBYTECODE := 1

GATE := PYTHONPATH=tests $(BIN)/python -m tools.gate
PYTEST := $(BIN)/python -m pytest

##@ For everyone

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: $(VENV)/.ready ## .venv with everything that the controller needs

$(VENV)/.ready: pyproject.toml tests/tools/make_venv tests/tools/find_pythons
	@tests/tools/make_venv --group dev $(if $(PYTHON),--python $(PYTHON)) $(VENV)

.PHONY: demo
demo: setup ## harden inventories/demo (directories, no root, no cluster) into build/demo, show what changed, and verify
	@rm -rf build/demo
	@$(BIN)/ansible-playbook -i inventories/demo harden.yml --diff

##@ For work on Kubeharden

.PHONY: lint
lint: setup ## the gates that only read, one after the other: the next seven
	@$(GATE) ruff mypy yamllint shellcheck ansible-lint ansible-doc changelog

.PHONY: ruff mypy yamllint shellcheck ansible-lint ansible-doc changelog sanity unit unit-oldest unit-libraries
ruff: ## style, likely mistakes and format of Python
mypy: ## types of plugins and tests
yamllint: ## form of YAML
shellcheck: ## shell scripts
ansible-lint: ## profile production, no rule skipped
ansible-doc: ## documentation of every module and role
changelog: ## changelog fragments
sanity: ## ansible-test sanity, in a copy below build/
unit: ## tests of pure logic
unit-oldest: ## the same on the oldest Python and libraries that a host may have
unit-libraries: ## those of certificates on four versions of cryptography in between, under five Pythons; slow
ruff mypy yamllint shellcheck ansible-lint ansible-doc changelog sanity unit unit-oldest unit-libraries: setup
	@$(GATE) $@

.PHONY: frame
frame: setup ## the collection as people run it, under every supported ansible-core
	@$(PYTEST) tests/frame -m "frame and ($(WANTED))"

.PHONY: lab-parts lab-parts-rest lab-test lab-directories lab-hosts lab-kills lab-mutations pki molecule molecule-ha
# The tests begin with the first version, and reach the others long after. Go's caches serve all of them.
lab-parts lab-parts-rest: export KUBEHARDEN_GO_CACHE ?= $(CURDIR)/build/go
lab-parts: ## compile what the lab is made of, once: the first version
	@if $(LAB_TOOL) check; then $(LAB_TOOL) prepare $(firstword $(KUBE_TESTED)); \
	elif [[ $${CI:-} == true ]]; then exit 1; \
	else echo "no lab on this machine: its tests will be skipped"; fi
lab-parts-rest: ## all versions that are tested; waits for what is being compiled
	@if $(LAB_TOOL) check >/dev/null; then $(LAB_TOOL) prepare $(KUBE_TESTED); fi
	@if [[ -d build/go ]]; then chmod -R u+w build/go && rm -rf build/go; fi
lab-test: setup ## the lab's tests, but for the slow ones
	@$(PYTEST) tests/lab --ignore-glob="*/test_directory_*" -m "$(WANTED)"
lab-directories: setup ## those that take directories for hosts, and need no cluster, but for the next three
	@$(PYTEST) $(filter-out $(HOSTS) $(KILLS) $(MUTATIONS),$(wildcard tests/lab/test_directory_*.py)) -m "$(WANTED)"
lab-hosts: setup ## what a run does to them, and what stops it
	@$(PYTEST) $(HOSTS) -m "$(WANTED)"
lab-kills: setup ## modules that write, killed at their system calls
	@$(PYTEST) $(KILLS) -m "$(WANTED)"
lab-mutations: setup ## each setting broken, named by verify, repaired
	@$(PYTEST) $(MUTATIONS) -m "$(WANTED)"
molecule: setup ## molecule's whole sequence on the lab, 1 + 1
	@$(BIN)/molecule test -s default
molecule-ha: setup ## the same, 3 + 2
	@$(BIN)/molecule test -s ha

pki: setup ## certificates before Go, OpenSSL, Python and kubeadm
	@kubeadm=$$(compgen -G "$${KUBEHARDEN_CACHE:-/var/cache/kubeharden-lab}/programs/$(firstword $(KUBE_TESTED))-*/kubeadm" || true); \
	KUBEHARDEN_KUBEADM=$${KUBEHARDEN_KUBEADM:-$$kubeadm} $(PYTEST) tests/pki -m "$(WANTED)"

.PHONY: report screenshots
report: setup ## report.html in a real Chromium
	@$(PYTEST) tests/report
screenshots: setup ## pictures of report.html anew, into docs/img
	@PYTHONPATH=tests:collections $(BIN)/python -m report.screenshots docs/img

# What waits, and what computes beside it.
WAITING := lab-parts pki lab-test
COMPUTING := lint unit lab-parts-rest unit-oldest sanity frame report lab-directories lab-hosts lab-kills lab-mutations

.PHONY: test
test: setup left-out ## what CI runs; says by name what it leaves out
	@tests/tools/run_parts "$(WAITING)" "$(COMPUTING)"

.PHONY: left-out
left-out: setup
	@echo "Left out of make test, run by make test-all:"
	@$(PYTEST) tests/unit tests/frame tests/pki tests/lab -m slow --collect-only -q --no-header 2>&1 | grep -F "::" | sed -E 's/\[kill-[0-9]+\]$$/, many kills/' | uniq || echo "nothing"
	@echo "make unit-libraries, molecule test -s default, molecule test -s ha"

# What has slow tests.
SLOW_WAITING := lab-parts pki lab-test molecule molecule-ha
SLOW_COMPUTING := lab-parts-rest unit frame unit-libraries lab-directories lab-hosts lab-kills lab-mutations

.PHONY: test-slow
test-slow: export KUBE_TESTED = $(shell $(LAB_TOOL) versions | cut -d " " -f 1)
test-slow: WANTED = slow
test-slow: setup ## what make test leaves out; the two together are test-all
	@tests/tools/run_parts "$(SLOW_WAITING)" "$(SLOW_COMPUTING)"

.PHONY: test-all
test-all: export KUBE_TESTED = $(shell $(LAB_TOOL) versions | cut -d " " -f 1)
test-all: WANTED = slow or not slow
test-all: setup ## everything: all versions, all faults; takes hours
	@tests/tools/run_parts "$(WAITING) molecule molecule-ha" "$(COMPUTING) unit-libraries"

.PHONY: bench
bench: setup ## the measures, as ratios, also written to build/bench.json
	@PYTHONPATH=tests:collections $(BIN)/python -m bench

##@ The lab: KUBE=1.37 CONTROL_PLANES=3 WORKERS=2, KUBEHARDEN_CACHE says where its parts are kept

.PHONY: lab lab-shell lab-down
lab: setup ## a real cluster that stays up while one works
	@mkdir -p $(dir $(LAB))
	@$(LAB_TOOL) up --version $(KUBE) --control-planes $(CONTROL_PLANES) --workers $(WORKERS) $(LAB)
	@echo "ansible-playbook -i $(LAB)/inventory.yml harden.yml --check --diff"
lab-shell: ## a shell in it
	@$(LAB_TOOL) in $(LAB)
lab-down: ## its end
	@$(LAB_TOOL) down $(LAB)

.PHONY: clean
clean: ## remove what is made, but for .venv, the lab's cache and a lab that is up
	@find build -mindepth 1 -maxdepth 1 -not -path "$(LAB)" -exec rm -rf {} +
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .ansible .cache
