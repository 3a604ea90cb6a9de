# Every job of the project. `make` alone lists them.
#
# Two ways to run: with a Docker engine and built images (make build) the jobs run inside them, as on SageMaker; without,
# as plain processes in .venv, which make sets up by itself from the lock files. Nothing but Python 3.11 is needed first.

# never empty: make would take the - of an option for its own, and go on after errors
PYTHON  ?= $(or $(shell command -v python3.11 || command -v python3),python3.11)
VENV    ?= .venv
DOCKER  ?= docker
DOCKER_BUILD_FLAGS ?=
DOCKER_RUN_FLAGS   ?=
export DOCKER DOCKER_RUN_FLAGS
# No library phones home from our jobs and tests, with or without an image.
export ORT_DISABLE_TELEMETRY = 1
export NO_ALBUMENTATIONS_UPDATE = 1

# what to run and on what; see `make help`
OUT        ?= build/train-local
DATA       ?=
VALIDATION ?=
# on the embedded data set a demonstration that ends in minutes; with DATA the defaults of the recognizer
HP         ?= $(if $(DATA),,max_minutes=3 symbol_steps=1200)
RESUME     ?=
IMAGE      ?=
IMAGES     ?=
ANSWERS    ?= $(OUT)/answers.jsonl
PORT       ?= 8080
# what train-local made; until then the shipped model
TRAINED    := $(OUT)/ml/model
MODEL      := $(if $(shell test -f "$(TRAINED)/model.json" && echo it is there),$(TRAINED),weights)
# a folder for each server: one that replaces a process of its own reads the model once more
SERVED      = $(OUT)/served/$(PORT)
# $(wildcard), $(abspath) and their like would take a path with blanks for several: the shell looks paths up
absolute    = $$(realpath -- "$(1)")
JOB_ARGS    = --out "$(OUT)" $(if $(DATA),--data "$(DATA)") $(if $(VALIDATION),--validation "$(VALIDATION)") \
	      $(if $(HP),--hp $(HP)) $(if $(RESUME),--resume)

# a server in an image gets the settings of this shell, as one without does; where it is and its port are the image's
SERVER_ENV  = $$(env | sed -nE '/^(SERVE_IMAGE|SAGEMAKER_(BASE_DIR|BIND_TO_PORT))=/d; s/^((SERVE|SAGEMAKER)_[A-Z_]+)=.*/--env \1/p')

# images
BASE_IMAGE  ?= python:3.11-slim-bookworm
VARIANT     ?= cpu
TRAIN_IMAGE ?= formula-recognizer-train:$(VARIANT)
SERVE_IMAGE ?= formula-recognizer-serve:$(VARIANT)
export TRAIN_IMAGE SERVE_IMAGE

LOCKS   := docker/locks
READY   := $(VENV)/.locked
TOOLKIT := $(VENV)-aws-toolkit/.locked
RUN     := $(VENV)/bin/python
BUILD   := DOCKER_BUILDKIT=1 $(DOCKER) build $(DOCKER_BUILD_FLAGS) --build-arg BASE_IMAGE=$(BASE_IMAGE)
# PyTorch's own CPU index, if you have set it
PIP_ARGS := $(if $(PIP_EXTRA_INDEX_URL),--build-arg PIP_EXTRA_INDEX_URL)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

##@ Set up
.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Settings: DATA=folder VALIDATION=folder HP=\"epochs=3 seed=1\" RESUME=1 OUT=$(OUT) MODEL=$(MODEL) PORT=$(PORT) VARIANT=cpu|cuda BASE_IMAGE=$(BASE_IMAGE) DOCKER_RUN_FLAGS=\"--gpus all\""

define make_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "make: Python 3.11 is needed, '$(PYTHON)' is another one. Install it, or: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(@D) || { \
	  echo "make: no virtual environment can be made; on Debian and Ubuntu: apt-get install python3.11-venv" >&2; exit 1; }
endef

$(READY): docker/install-locked $(addprefix $(LOCKS)/,build.txt torch-cpu.txt torch-cuda.txt train.txt serve.txt dev.txt)
	$(make_venv)
	docker/install-locked $(RUN) torch-auto train serve dev
	@touch $@

$(VENV)-sdk%/.locked: docker/install-locked $(LOCKS)/build.txt $(LOCKS)/launch-sdk%.txt
	$(make_venv)
	docker/install-locked $(@D)/bin/python launch-sdk$*
	@touch $@

$(TOOLKIT): docker/install-locked $(LOCKS)/build.txt $(LOCKS)/aws-toolkit.txt
	$(make_venv)
	docker/install-locked $(@D)/bin/python aws-toolkit
	@touch $@

.PHONY: venv venv-sdk venv-aws-toolkit
venv: $(READY) ## Set up .venv from the locks (the other targets do it when they need it)

venv-sdk: $(VENV)-sdk2/.locked $(VENV)-sdk3/.locked ## Set up .venv-sdk2 and .venv-sdk3: SageMaker's SDKs, for launch/

venv-aws-toolkit: $(TOOLKIT) ## Set up .venv-aws-toolkit: AWS's inference toolkit, under which a test runs our inference.py

.PHONY: build build-train build-serve
build: build-train build-serve ## Build both images

build-train: ## Build the training image
	$(BUILD) $(PIP_ARGS) --build-arg TORCH=$(VARIANT) -f docker/train.Dockerfile -t $(TRAIN_IMAGE) .

build-serve: ## Build the serving image
	$(BUILD) --build-arg RUNTIME=$(VARIANT) -f docker/serve.Dockerfile -t $(SERVE_IMAGE) .

.PHONY: doctor
doctor: $(READY) ## Check Python, packages, threads, memory, GPU: here and in the images
	$(RUN) -m container.doctor
	@for image in $(TRAIN_IMAGE) $(SERVE_IMAGE); do \
	  if $(DOCKER) image inspect $$image >/dev/null 2>&1; then \
	    echo "--- $$image"; $(DOCKER) run --rm $(DOCKER_RUN_FLAGS) $$image python3 -m container.doctor || exit 1; \
	  fi; done

##@ Use
.PHONY: train-local
train-local: ## Train here: on the embedded data set, or DATA=folder; HP="name=value ..."
	@if $(DOCKER) image inspect $(TRAIN_IMAGE) >/dev/null 2>&1; then \
	  $(PYTHON) -m container.local_job --image $(TRAIN_IMAGE) $(JOB_ARGS); \
	else \
	  $(MAKE) --no-print-directory $(READY) && $(RUN) -m container.local_job $(JOB_ARGS); \
	fi

.PHONY: serve-local
serve-local: ## Serve what train-local made, or else the shipped model, on PORT, with a page to try it in
	@test ! -f "$(MODEL)" || { echo "make: $(MODEL) is a file: unpack it (tar -xzf) into a folder and name that" >&2; exit 1; }
	@test -f "$(MODEL)/model.json" || { echo "make: there is no model in $(MODEL)" >&2; exit 1; }
	@if $(DOCKER) image inspect $(SERVE_IMAGE) >/dev/null 2>&1; then \
	  exec $(DOCKER) run --rm $(DOCKER_RUN_FLAGS) --read-only --tmpfs /tmp -p $(PORT):8080 \
	    $(SERVER_ENV) --env SERVE_PAGE=$${SERVE_PAGE:-1} \
	    -v "$(call absolute,$(MODEL)):/opt/ml/model:ro" $(SERVE_IMAGE) serve; \
	else \
	  $(MAKE) --no-print-directory $(READY) && \
	  mkdir -p "$(SERVED)" && ln -sfn "$(call absolute,$(MODEL))" "$(SERVED)/model" && \
	  SAGEMAKER_BASE_DIR="$(call absolute,$(SERVED))" SAGEMAKER_BIND_TO_PORT=$(PORT) \
	  SERVE_HOST=$${SERVE_HOST:-127.0.0.1} SERVE_PAGE=$${SERVE_PAGE:-1} \
	  PYTHONPATH=.:code exec $(RUN) -m container.serve; \
	fi

.PHONY: invoke
invoke: ## Ask the running server: IMAGE=formula.png
	@test -n "$(IMAGE)" || { echo "make: name a picture: make invoke IMAGE=formula.png" >&2; exit 1; }
	@$(PYTHON) -m launch.invoke --port $(PORT) "$(IMAGE)"

.PHONY: predict
predict: $(READY) ## Recognize many pictures: IMAGES=folder or list of paths; goes on where it was stopped
	@test -n "$(IMAGES)" || { echo "make: name a folder of pictures: make predict IMAGES=folder" >&2; exit 1; }
	@$(RUN) -m container.predict "$(MODEL)" "$(IMAGES)" --out "$(ANSWERS)"

.PHONY: evaluate
evaluate: ## Measure a model on a labelled set, with a report: DATA=folder; MODEL=folder or model.tar.gz; EVALUATE="--on-bad-sample skip"
	@test -n "$(DATA)" || { echo "make: name a labelled set: make evaluate DATA=folder" >&2; exit 1; }
	@for place in "$(DATA)" "$(MODEL)"; do test -e "$$place" || { echo "make: there is no $$place" >&2; exit 1; }; done
	@mkdir -p "$(OUT)/evaluation"
	@if $(DOCKER) image inspect $(TRAIN_IMAGE) >/dev/null 2>&1; then \
	  $(DOCKER) run --rm $(DOCKER_RUN_FLAGS) --network none --read-only --tmpfs /tmp --user "$$(id -u):$$(id -g)" \
	    -v "$(call absolute,$(MODEL)):/model:ro" -v "$(call absolute,$(DATA)):/data:ro" \
	    -v "$(call absolute,$(OUT)/evaluation):/evaluation" \
	    $(TRAIN_IMAGE) python3 /opt/program/code/evaluate.py --model /model --data /data --out /evaluation $(EVALUATE) && \
	  echo "that is $(OUT)/evaluation/report.html here"; \
	else \
	  $(MAKE) --no-print-directory $(READY) && \
	  $(RUN) code/evaluate.py --model "$(MODEL)" --data "$(DATA)" --out "$(OUT)/evaluation" $(EVALUATE); \
	fi

##@ Develop
.PHONY: test
test: $(READY) $(TOOLKIT) ## All tests; those of the images where there are an engine and built images
	$(RUN) -m pytest $(PYTEST_ARGS)

.PHONY: test-container
test-container: $(READY) venv-sdk ## The tests of the built images and of the SDKs' local mode; a missing engine is a failure
	REQUIRE_CONTAINER=1 $(RUN) -m pytest -m container $(PYTEST_ARGS)

.PHONY: test-browser
test-browser: $(READY) ## The tests of the web page; Debian's chromium and chromium-driver are needed
	REQUIRE_BROWSER=1 $(RUN) -m pytest -m browser $(PYTEST_ARGS)

.PHONY: fuzz
fuzz: $(READY) ## Send servers 10,000 requests each that no client should send (`make test` sends 1,000)
	FUZZ_BODIES=10000 $(RUN) -m pytest tests/contract/test_fuzz.py -s $(PYTEST_ARGS)

.PHONY: lint
lint: $(READY) ## ruff, mypy, hadolint
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/hadolint docker/*.Dockerfile

.PHONY: bench-serving
bench-serving: $(READY) ## Requests a second: bare model, our server, a usual one; MODEL=folder, BENCH="--clients 100"
	PYTHONPATH=.:code $(RUN) -m bench.serving $(if $(filter command,$(origin MODEL)),--model "$(MODEL)") $(BENCH)

.PHONY: bench-soak
bench-soak: $(READY) ## Keep our server saturated for MINUTES=30, and say whether its memory grows; MODEL=folder
	PYTHONPATH=.:code $(RUN) -m bench.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(filter command,$(origin MODEL)),--model "$(MODEL)")

.PHONY: bench-synth
bench-synth: $(READY) ## Pictures a second of the embedded data set, with one and with two processes
	PYTHONPATH=code $(RUN) -m recognizer.synth.bench

.PHONY: bench-decoding
bench-decoding: $(READY) ## What a step of decoding costs, and what cache and batching gain; MODEL=folder
	PYTHONPATH=.:code $(RUN) -m bench.decoding $(if $(filter command,$(origin MODEL)),--model "$(MODEL)")

.PHONY: bench-turning
bench-turning: $(READY) ## What trying pictures on their sides brings and costs; MODEL=folder DATA=folder
	PYTHONPATH=.:code $(RUN) -m bench.turning --model "$(MODEL)" --data "$(DATA)"

.PHONY: bench-resolutions
bench-resolutions: $(READY) ## Well-known formulas at 72 to 400 dpi: what is read right; MODEL=folder BENCH="--typefaces times --show"
	PYTHONPATH=.:code $(RUN) -m bench.resolutions --model "$(MODEL)" $(BENCH)

.PHONY: bench-conditions
bench-conditions: $(READY) ## What paper, light and pen do to the answers; MODEL=folder DATA=folder
	PYTHONPATH=.:code $(RUN) -m bench.conditions --model "$(MODEL)" --data "$(DATA)"

.PHONY: bench-shards
bench-shards: $(READY) ## Pictures a second from single files and from shards, at random and in a row; DATA=folder
	PYTHONPATH=.:code $(RUN) -m bench.shards "$(DATA)"

.PHONY: bench-training
bench-training: $(READY) ## Training: decoding in parallel, stages of a step, formulas an hour, picture sizes; BENCH="--quick --only stages"
	PYTHONPATH=.:code $(RUN) -m bench.training $(BENCH)

.PHONY: bench-switches bench-recognizers bench-sizes
bench-switches: $(READY) ## What label smoothing, average, distillation, own tokens, beam, ensemble bring; MINUTES=5 a training
	PYTHONPATH=.:code $(RUN) -m bench.switches $(if $(MINUTES),--minutes $(MINUTES)) $(BENCH)

bench-recognizers: $(READY) ## The four recognizers, of alike size, after the same MINUTES=5 of training
	PYTHONPATH=.:code $(RUN) -m bench.recognizers $(if $(MINUTES),--minutes $(MINUTES)) $(BENCH)

bench-sizes: $(READY) ## The default recognizer, wider, deeper, on smaller pictures, after the same MINUTES=5 of training
	PYTHONPATH=.:code $(RUN) -m bench.sizes $(if $(MINUTES),--minutes $(MINUTES)) $(BENCH)

# The peer is for comparison only: it states no licence, and nothing of it goes into the project.
.PHONY: bench-peer
bench-peer: $(READY) ## Our shipped model beside latex-ocr-junia, on the same renderings; installs it into .venv-peer (6 GB)
	@test -x .venv-peer/bin/python || { $(PYTHON) -m venv .venv-peer && .venv-peer/bin/pip install -q latex-ocr-junia==0.1.3; }
	PYTHONPATH=.:code $(RUN) -m bench.peer --model weights --peer-python .venv-peer/bin/python $(BENCH)

.PHONY: bench-finetune
bench-finetune: $(READY) ## What the shipped weights are worth on a new style: fine-tuned against from scratch (MINUTES=10)
	PYTHONPATH=.:code $(RUN) -m bench.finetune $(if $(MINUTES),--minutes $(MINUTES))

# The order is the order of dependence: each lock is compiled under the versions of those before it.
COMPILE = cd $(LOCKS) && env $${PIP_CERT:+SSL_CERT_FILE=$$PIP_CERT} UV_CUSTOM_COMPILE_COMMAND="make lock" \
	  ../../$(VENV)/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes \
	  --no-emit-find-links --no-emit-index-url $(LOCK_FLAGS)
LINUX   := --python-platform x86_64-manylinux_2_28
.PHONY: lock
lock: $(READY) ## Write the lock files anew from docker/locks/*.in (newer versions: LOCK_FLAGS=--upgrade)
	$(COMPILE) --universal torch-cuda.in -o torch-cuda.txt
	export UV_FIND_LINKS="$${PIP_FIND_LINKS:-$$UV_FIND_LINKS}" UV_EXTRA_INDEX_URL="$${PIP_EXTRA_INDEX_URL:-$$UV_EXTRA_INDEX_URL}"; \
	  $(COMPILE) --universal -c torch-cuda.txt torch-cpu.in -o torch-cpu.txt
	$(COMPILE) $(LINUX) --allow-unsafe -c torch-cuda.txt build.in -o build.txt
	$(COMPILE) $(LINUX) -c torch-cuda.txt -c build.txt train.in -o train.txt
	$(COMPILE) $(LINUX) -c train.txt serve.in -o serve.txt
	$(COMPILE) $(LINUX) -c serve.txt serve-cuda.in -o serve-cuda.txt
	$(COMPILE) $(LINUX) -c torch-cuda.txt -c train.txt -c serve.txt dev.in -o dev.txt
	$(COMPILE) $(LINUX) -c serve.txt aws-toolkit.in -o aws-toolkit.txt
	$(COMPILE) $(LINUX) launch-sdk2.in -o launch-sdk2.txt
	$(COMPILE) $(LINUX) launch-sdk3.in -o launch-sdk3.txt

.PHONY: clean
clean: ## Remove what the jobs and tools wrote; .venv and the images stay
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
