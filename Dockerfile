# The stage `compile` builds a static binary; the last stage contains only what it needs to run.
#
# Where no registry is available, a directory can replace the stage: `--build-context compile=DIR`.
# It must contain the files that the last stage copies, at the same paths:
#   configmapsync                         the static binary
#   etc/ssl/certs/ca-certificates.crt     root certificates, or an empty file
#   licenses/LICENSE                      the license of this project
#   licenses/THIRD-PARTY-NOTICES          the licenses of the packages in the binary
FROM rust:1.95-bookworm AS compile

# musl-gcc compiles the C code of ring and mimalloc.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends musl-tools \
 && rm -rf /var/lib/apt/lists/* \
 && rustup target add "$(uname -m)-unknown-linux-musl"

# Without LTO, which would take longer than the run. The tests read the version from this line.
ARG CARGO_ABOUT_VERSION=0.9.3
RUN cargo install --locked --config profile.release.lto=false \
      --features cli --version "${CARGO_ABOUT_VERSION}" cargo-about

WORKDIR /source
COPY Cargo.toml Cargo.lock ./
# .dockerignore limits this to the manifests of the workspace members, without which cargo would
# reject the lock file.
COPY e2e e2e
COPY src src

# The profile `quick` compiles in a fraction of the time of `release`.
ARG PROFILE=release
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    target="$(uname -m)-unknown-linux-musl" \
 && cargo build --locked --profile "${PROFILE}" --target "${target}" \
      --package configmapsync --bin configmapsync \
 && cp "target/${target}/${PROFILE}/configmapsync" /configmapsync

COPY LICENSE about.toml about.hbs ./
# Offline, cargo-about reads the license files of the packages that cargo has downloaded.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    mkdir /licenses \
 && cp LICENSE /licenses/LICENSE \
 && cargo fetch --locked \
 && cargo about generate --frozen --fail --output-file /licenses/THIRD-PARTY-NOTICES about.hbs

FROM scratch

ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="configmapsync" \
      org.opencontainers.image.description="A Kubernetes operator that keeps copies of a ConfigMap equal to their source" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

# Used only for collectors with https. For the API server, the pod has the CA of the cluster.
COPY --from=compile --chmod=0444 /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=compile --chmod=0444 /licenses/LICENSE /licenses/THIRD-PARTY-NOTICES /licenses/
COPY --from=compile --chmod=0555 /configmapsync /configmapsync

# Return freed memory to the system immediately: lower memory usage matters more than speed.
ENV MIMALLOC_PURGE_DELAY=0

# Numeric, so that the kubelet can verify runAsNonRoot.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/configmapsync"]
CMD ["run"]
