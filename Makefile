# Every target is one line of help; the logic lives in scripts/. Hooks, CI and people call the same targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := check
PY = $(realpath .venv)/bin/python
# Whatever tests start ends with them.
PYTEST := .venv/bin/python scripts/supervise.py .venv/bin/pytest
export JOBS ?= 2
export ARGS ?=
SERVICES := api worker-manager infra-service scheduler scaffolder langgraph telegram-bot
PACKAGES := orchestrator-cli worker-wrapper emulators local-stack

.PHONY: help
help: ## list every target
	@grep -hE '^[a-zA-Z0-9_% -]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-34s %s\n", $$1, $$2}'
	@for s in $(SERVICES); do printf "  %-34s %s\n" "test-$$s-unit, test-$$s-service" "the tests of services/$$s"; done
	@for p in $(PACKAGES) shared; do printf "  %-34s %s\n" "test-$$p-unit, test-$$p-service" "the tests of $$p"; done
	@printf "  %-34s %s\n" "test-worker-wrapper-component" "the wrapper with real child processes and signals"

.PHONY: setup
setup: ## make .venv match the lock and the members (everything else calls this)
	@scripts/bootstrap.sh

.PHONY: check checks fmt fmt-check lint types docs lock
check: checks test-unit ## format check, lint, types, unit tests
checks: fmt-check lint types ## format check, lint, types

fmt: setup ## format the code
	@.venv/bin/ruff format -q . && .venv/bin/ruff check -q --fix .

fmt-check: setup ## check the format
	@.venv/bin/ruff format --check -q .

lint: setup ## ruff, import contracts, house rules, generated documents
	@.venv/bin/ruff check -q .
	@.venv/bin/lint-imports --no-cache | tail -n 3
	@$(PY) scripts/lint_house.py
	@$(PY) -m shared.contracts.generate --check

types: setup ## mypy strict over everything
	@scripts/types.sh

docs: setup ## regenerate docs/CONTRACTS.md and the schema snapshots
	@$(PY) -m shared.contracts.generate

lock: setup ## resolve the dependencies anew into requirements.lock
	@scripts/lock.sh --upgrade

.PHONY: test
test: setup ## everything this machine can run, with the time of each level
	@scripts/test.sh

.PHONY: agents
agents: setup ## fetch what tests take from npm: the agent binaries, GitHub's published description
	@.venv/bin/codegen agents
	@$(PY) -m shared.testing.github_description

.PHONY: test-unit test-service test-libraries
test-unit: setup ## every unit test (TEST_ON=containers: in a container without a network)
	@scripts/test_level.sh unit
test-service: setup ## every service beside its own container, its stores and neighbours (TEST_ON=processes: without containers)
	@scripts/test_level.sh service
test-libraries: agents ## the service tests of what is not deployed: shared and the packages
	@scripts/test_level.sh libraries

.PHONY: test-e2e
test-e2e: setup ## chat to URL, with kill -9 and failing agents (short version)
	@$(PYTEST) -q -n $(JOBS) --dist loadscope tests/e2e $(ARGS)

.PHONY: test-soak
test-soak: setup ## the large numbers: ten seeds of the kill test and more
	@scripts/redis7.sh && $(PYTEST) -q -m soak shared services packages tests

.PHONY: bench bench-bus
bench bench-bus: setup ## the figures of the product beside its peers'; bench-bus: of the bus alone (ARGS="--quick")
	@scripts/redis7.sh && $(PY) scripts/supervise.py $(PY) -m tests.benchmarks $(filter-out bench,$(@:bench-%=%)) $(ARGS)

.PHONY: test-e2e-real
test-e2e-real: setup ## real language models; skipped without keys
	@$(PYTEST) -q tests/e2e -m e2e_real

.PHONY: test-compose test-lifecycle test-registry
test-compose test-lifecycle test-registry: ## containers: what must hold; interrupts and upgrades; a registry
	@scripts/docker/test_stack.sh $@ $(ARGS)

.PHONY: test-legacy
test-legacy: setup ## the quarantine; never blocks
	-@$(PYTEST) -q tests_legacy

.PHONY: test-integration-template test-integration-deploy test-integration-frontend
test-integration-template test-integration-deploy test-integration-frontend: setup ## template: scaffolder, copier, workflows; deploy: settings, images, CI; frontend: chat and api
	@scripts/test_level.sh integration $(@:test-integration-%=%)

.PHONY: test-worker-base-integration test-integration-backend test-integration-milestone
test-worker-base-integration test-integration-backend test-integration-milestone: ## workers on a real engine: their image; with their services; the worker plane
	@scripts/docker/test_backend.sh $@ $(ARGS)

test-%-unit: setup
	@scripts/test_level.sh unit $*
test-%-component: setup
	@scripts/test_level.sh component $*
test-%-service: setup
	@scripts/test_level.sh service $*

.PHONY: demo
demo: setup ## a chat message becomes a running application (PROMPT="…" with a real key)
	@.venv/bin/codegen demo $(if $(PROMPT),--prompt "$(PROMPT)")

.PHONY: stack
stack: setup ## start the whole system as processes of this machine (Ctrl-C ends it)
	@.venv/bin/codegen up

.PHONY: env
env: ## make .env, the settings of the containers, unless it is there
	@scripts/docker/env.sh

.PHONY: up down logs ps migrate backup restore upgrade
up upgrade: ## start the system as containers, or bring it up to date (PROFILE=emulators: without accounts)
	@scripts/docker/stack.sh $@ $(PROFILE)
down: ## remove the containers, keep the data (WIPE=yes: the data as well)
	@scripts/docker/stack.sh down $(if $(filter yes,$(WIPE)),wipe)
logs ps migrate: ## of the containers (logs NAME=api for one)
	@scripts/docker/stack.sh $@ $(NAME)
backup: ## rows, streams and applications into backups/ (TO=folder)
	@scripts/docker/stack.sh backup $(TO)
restore: ## replace what is there by a backup (FROM=folder)
	@scripts/docker/stack.sh restore $(FROM)

.PHONY: images
images: ## build the images whose sources changed
	@scripts/docker/engine.sh
	@scripts/docker/images.sh

.PHONY: hooks
hooks: ## install the pre-commit and pre-push hooks
	@git config core.hooksPath scripts/hooks && echo "hooks: scripts/hooks"

.PHONY: clean
clean: ## remove the virtual environment, caches and run-time state
	@rm -rf .venv .codegen .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
