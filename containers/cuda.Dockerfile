# syntax=docker/dockerfile:1
# The program for NVIDIA GPUs, with the libraries of CUDA that it links; the driver comes from the host. From a checkout:
#   docker build -f containers/cuda.Dockerfile -t korfinsts-cuda .
#   docker run --rm --gpus all korfinsts-cuda eval org/name --device cuda
# `--build-arg FEATURES=nccl` trains on several GPUs; `--build-arg COMPUTE_CAP=80` is for an A100, 90 for an H100 or H200.

ARG CUDA=13.0.1

FROM docker.io/nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS build
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential ca-certificates rustup \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY rust-toolchain.toml ./
RUN rustup toolchain install --profile minimal "$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)"
COPY . .
ARG FEATURES=cuda
ARG COMPUTE_CAP=90
RUN --mount=type=cache,target=/root/.cargo/registry --mount=type=cache,target=/src/target \
    CUDA_COMPUTE_CAP=${COMPUTE_CAP} cargo build --release --locked --features "${FEATURES}" \
    && cp target/release/korfinsts /usr/bin/korfinsts

FROM docker.io/nvidia/cuda:${CUDA}-runtime-ubuntu24.04
LABEL org.opencontainers.image.title="korfinsts" \
      org.opencontainers.image.description="Evaluate sentence encoders on Korean financial text, on NVIDIA GPUs" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /usr/bin/korfinsts /usr/bin/korfinsts
RUN install -d -o 65532 -g 65532 /data
ENV KORFINSTS_DATA=/data/korfinsts HF_HUB_CACHE=/data/hub HOME=/data
WORKDIR /data
USER 65532:65532
ENTRYPOINT ["/usr/bin/korfinsts"]
CMD ["eval"]
