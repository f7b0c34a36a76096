# SPDX-License-Identifier: Apache-2.0
# `make image`, or deploy/README.md. To pin what it is made from, give these with a digest (NAME@sha256:…).
ARG BUILDER_IMAGE=debian:bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/static-debian12

# Where it is built for another architecture, it is built by a cross compiler and not in an emulator.
FROM --platform=$BUILDPLATFORM ${BUILDER_IMAGE} AS builder
ARG BUILDARCH
ARG TARGETARCH
ENV CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
WORKDIR /build
COPY scripts/install-dependencies.sh scripts/
RUN other=$TARGETARCH; [ "$TARGETARCH" != "$BUILDARCH" ] || other=; scripts/install-dependencies.sh build $other
COPY . .
# The script again: now it knows from Cargo.toml whether the toolchain is new enough.
RUN case $TARGETARCH in amd64) target=x86_64-unknown-linux-gnu ;; arm64) target=aarch64-unknown-linux-gnu ;; *) exit 1 ;; esac && \
    scripts/install-dependencies.sh build && cargo build --release --locked --target $target && \
    mkdir -p /image/licenses && mv target/$target/release/scope-http-statistics /image/ && \
    cp -r LICENSE LICENSES /image/licenses/ && packaging/notices.sh $target >/image/licenses/THIRD-PARTY

FROM ${RUNTIME_IMAGE}
ARG VERSION
ARG REVISION
ARG CREATED
ARG REPOSITORY
LABEL org.opencontainers.image.title="scope-http-statistics" \
      org.opencontainers.image.description="Per-process HTTP statistics, counted in the kernel, for Weave Scope and Prometheus" \
      org.opencontainers.image.licenses="Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.source="$REPOSITORY" \
      org.opencontainers.image.documentation="$REPOSITORY/blob/main/deploy/README.md"
COPY --from=builder /image /
ENTRYPOINT ["/scope-http-statistics"]
