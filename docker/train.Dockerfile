# Training image: `docker run IMAGE train`, with SageMaker's /opt/ml mounted.   make build-train
#
#   BASE_IMAGE  any image with Python 3.11 and its headers, on Debian or Ubuntu. For GPU hosts the default is right as
#               well: with TORCH=cuda the CUDA libraries come from Python packages, the driver from the host.
#   TORCH       cpu: the CPU build of PyTorch where pip finds one, else the CUDA build (install-locked says so).
#               cuda: the CUDA build.
#   PIP_EXTRA_INDEX_URL   PyTorch's own CPU index, for pip to look for the CPU build besides its usual index.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS builder
ARG TORCH=cpu
ARG PIP_EXTRA_INDEX_URL
# A compiler for sagemaker-training, which is published as source only. It stays in this stage, so its version is free.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY docker/install-locked /opt/program/
COPY docker/locks/build.txt docker/locks/torch-*.txt docker/locks/train.txt /opt/program/locks/
# pip's cache is kept between builds, in no layer of the image
ENV PIP_CACHE_DIR=/var/cache/pip
RUN --mount=type=cache,target=/var/cache/pip \
    python3.11 -m venv /opt/venv \
    && case "${TORCH}" in cpu) torch="torch-auto" ;; *) torch="torch-${TORCH}" ;; esac \
    && /opt/program/install-locked /opt/venv/bin/python "${torch}" train

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="formula-recognizer-train" \
      org.opencontainers.image.description="Trains a formula recognizer (picture -> LaTeX) on Amazon SageMaker or anywhere" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-NC-SA-3.0"
# A compiler for torch.compile (hyperparameter `compile`), which has none of its own. Its version is free.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
# ORT_DISABLE_TELEMETRY: ONNX Runtime's wheels report each use to their maker by default (since 1.29).
# NVIDIA_*: what the NVIDIA container runtime mounts on a GPU host; without that runtime they mean nothing.
ENV PATH=/opt/program/bin:/opt/venv/bin:${PATH} \
    PYTHONPATH=/opt/program:/opt/program/code \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 \
    MPLCONFIGDIR=/tmp/matplotlib \
    TORCHINDUCTOR_CACHE_DIR=/tmp/torchinductor \
    NO_ALBUMENTATIONS_UPDATE=1 \
    ORT_DISABLE_TELEMETRY=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=builder /opt/venv /opt/venv
COPY docker/locks/torch-*.txt docker/locks/train.txt /opt/program/locks/
COPY --chmod=0755 docker/bin/train /opt/program/bin/train
COPY container /opt/program/container
COPY code /opt/program/code
COPY weights /opt/program/weights
# Byte code now: neither an ordinary user nor a read-only root could write it later.
RUN python3 -m compileall -q /opt/program/container /opt/program/code
# Nothing of a base image's entry point stays between SageMaker and `train`: no shell, `train` is process 1.
ENTRYPOINT []
CMD ["train"]
