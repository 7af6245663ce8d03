# `prebuilt` is the static binary and nothing else, and needs no registry: the scenario runner (and
# `just peer-cli-image`) stages the binary and builds this target.
#
# `source` builds the binary itself, for machines without Rust but with a registry and BuildKit:
#     docker build --target source -t lanspread-peer-cli .

FROM scratch AS prebuilt
COPY target/image/lanspread-peer-cli /lanspread-peer-cli
ENTRYPOINT ["/lanspread-peer-cli"]

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends cmake g++ make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# With --target the flag does not reach build scripts, which cannot be linked statically.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --release --locked --target "$target" --package lanspread-peer-cli \
    && cp "target/$target/release/lanspread-peer-cli" /lanspread-peer-cli

FROM scratch AS source
COPY --from=build /lanspread-peer-cli /lanspread-peer-cli
ENTRYPOINT ["/lanspread-peer-cli"]
