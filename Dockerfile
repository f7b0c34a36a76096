# SPDX-License-Identifier: Apache-2.0
ARG BUILDER_IMAGE=debian:bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/static-debian12

FROM ${BUILDER_IMAGE} AS builder
WORKDIR /build
COPY scripts/install-dependencies.sh scripts/
RUN scripts/install-dependencies.sh build
COPY . .
# The script again: now it knows from Cargo.toml whether the toolchain is new enough.
RUN scripts/install-dependencies.sh build && cargo build --release --locked && mv target/*/release/scope-http-statistics /

FROM ${RUNTIME_IMAGE}
COPY --from=builder /scope-http-statistics /
ENTRYPOINT ["/scope-http-statistics"]
