# Two stages: `compile` makes a static binary, the last one holds that binary and nothing to run but
# it. Where no registry is reached, a folder stands in for the first stage
# (`--build-context compile=FOLDER`). It holds what the last stage copies, at the same paths:
#   configmapsync                         the static binary
#   etc/ssl/certs/ca-certificates.crt     root certificates; may be empty, see below
FROM rust:1.95-bookworm AS compile

# `release` is what is shipped; `quick` gives the same image in a fraction of the time.
ARG PROFILE=release

# The C of ring and mimalloc is compiled against musl.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends musl-tools \
 && rm -rf /var/lib/apt/lists/* \
 && rustup target add "$(uname -m)-unknown-linux-musl"

WORKDIR /source
COPY Cargo.toml Cargo.lock ./
# Only manifests: without these members of the workspace, cargo would refuse the lock file.
COPY e2e e2e
COPY src src

RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target \
    target="$(uname -m)-unknown-linux-musl" \
 && cargo build --locked --profile "${PROFILE}" --target "${target}" \
      --package configmapsync --bin configmapsync \
 && cp "target/${target}/${PROFILE}/configmapsync" /configmapsync

FROM scratch

ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="configmapsync" \
      org.opencontainers.image.description="A Kubernetes operator that keeps copies of a ConfigMap equal to their source" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

# Read only when traces go to a collector over https. The API server is checked against the
# certificate authority that the cluster mounts into the pod.
COPY --from=compile --chmod=0444 /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=compile --chmod=0555 /configmapsync /configmapsync

# Memory that is no longer used is given back at once: the process stays as small as what it holds.
ENV MIMALLOC_PURGE_DELAY=0

# By number: `runAsNonRoot` cannot judge a name.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/configmapsync"]
CMD ["run"]
