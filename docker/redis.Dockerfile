# Debian's Redis 7: append-only file, nothing evicted, a password from the mounted settings.
ARG BASE_IMAGE=debian:12.11-slim
FROM ${BASE_IMAGE} AS fetch
LABEL codegen.stage=fetch
COPY docker/fetch host* /fetch/
RUN /fetch/apt-layer.sh redis-server redis-tools

FROM ${BASE_IMAGE}
COPY --from=fetch /layer/ /
COPY docker/health /opt/health
COPY docker/redis /opt/redis
RUN useradd --uid 10002 --no-create-home redis-server && install -d -o redis-server -g redis-server -m 700 /data /run/redis
USER redis-server
WORKDIR /data
VOLUME /data
EXPOSE 6379
HEALTHCHECK --interval=1s --timeout=120s --start-period=5s --retries=3 CMD ["/opt/health/paced", "/opt/redis/healthcheck"]
ENTRYPOINT ["/opt/redis/entrypoint"]
