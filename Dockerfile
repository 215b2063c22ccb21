# The server alone, for where one would run `docker run --rm -p 2181:2181 zookeeper`:
#
#   docker build -t zooky-server .
#   docker run --rm -p 2181:2181 zooky-server
#
# Its data is in the volume /data. Settings: docs/settings.md, each as a variable (`-e ZOOKY_TICK_TIME=1000`) or a flag
# behind the image's name. The port is plain text; publish it as `-p 127.0.0.1:2181:2181` to keep it to one machine.

FROM rust:1.90-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY bench bench
COPY python python
RUN cargo build --release --locked -p zooky-cli && install -d -m 0700 /data

FROM debian:bookworm-slim
# A number, so that orchestrators see that it is not root.
USER 10001:10001
COPY --from=build --chown=10001:10001 /data /data
COPY --from=build /src/target/release/zooky /usr/local/bin/zooky
# Inside a container other addresses than loopback are the point; who may reach it is the network's business.
ENV ZOOKY_DATA_DIR=/data/zookeeper ZOOKY_LISTEN=0.0.0.0:2181 ZOOKY_INSECURE=true
VOLUME /data
EXPOSE 2181
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s CMD ["zooky", "--servers", "127.0.0.1:2181", "list"]
ENTRYPOINT ["zooky", "server"]
