# Serving image: `docker run -p 8080:8080 -v MODEL_DIR:/opt/ml/model:ro IMAGE serve`.   make build-serve
#
#   BASE_IMAGE  any image with Python 3.11, on Debian or Ubuntu; right for GPU hosts as well.
#   RUNTIME     cpu: the lock `serve`, at most 600 MB in all. cuda: the lock `serve-cuda`, whose ONNX Runtime brings
#               the CUDA libraries as Python packages; the driver comes from the host.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS builder
ARG RUNTIME=cpu
COPY docker/install-locked /opt/program/
COPY docker/locks/build.txt docker/locks/serve*.txt /opt/program/locks/
# pip's cache is kept between builds, in no layer of the image
ENV PIP_CACHE_DIR=/var/cache/pip
# The tools that installed the packages leave again, and so do the packages' own tests (25 MB) and ONNX Runtime's programs
# that rewrite networks (6 MB): nothing is installed, tested or rewritten in a serving container.
RUN --mount=type=cache,target=/var/cache/pip \
    python3.11 -m venv /opt/venv \
    && case "${RUNTIME}" in cpu) lock="serve" ;; *) lock="serve-${RUNTIME}" ;; esac \
    && /opt/program/install-locked /opt/venv/bin/python "${lock}" \
    && /opt/venv/bin/pip uninstall -q -y setuptools wheel pip \
    && find /opt/venv/lib -type d -name tests -prune -exec rm -r {} + \
    && rm -r /opt/venv/lib/python3.11/site-packages/onnxruntime/transformers

FROM ${BASE_IMAGE}
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port="true" \
      com.amazonaws.sagemaker.capabilities.multi-models="true" \
      org.opencontainers.image.title="formula-recognizer-serve" \
      org.opencontainers.image.description="Serves a formula recognizer (picture -> LaTeX) on Amazon SageMaker or anywhere" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-NC-SA-3.0"
# ORT_DISABLE_TELEMETRY: ONNX Runtime's wheels report each use to their maker by default (since 1.29).
# NVIDIA_*: what the NVIDIA container runtime mounts on a GPU host; without that runtime they mean nothing.
ENV PATH=/opt/program/bin:/opt/venv/bin:${PATH} \
    PYTHONPATH=/opt/program:/opt/program/code \
    PYTHONUNBUFFERED=1 \
    LANG=C.UTF-8 \
    ORT_DISABLE_TELEMETRY=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=builder /opt/venv /opt/venv
COPY docker/locks/serve*.txt /opt/program/locks/
COPY --chmod=0755 docker/bin/serve /opt/program/bin/serve
COPY container /opt/program/container
COPY code/inference.py /opt/program/code/
# without the weights for training on
COPY weights/MODEL_CARD.md weights/LICENSE.txt weights/model.json weights/*.onnx /opt/program/weights/
COPY weights/golden /opt/program/weights/golden
# Byte code now: neither an ordinary user nor a read-only root could write it later.
RUN python3 -m compileall -q /opt/program/container /opt/program/code
EXPOSE 8080
# Nothing of a base image's entry point stays between SageMaker and `serve`: no shell, `serve` is process 1.
ENTRYPOINT []
CMD ["serve"]
