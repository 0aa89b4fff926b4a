# Debian's PostgreSQL 15. Debian 12 has no package of pgvector, so the image has it only where another archive does; nothing of
# this system needs it yet. Queries of this system are too small for the JIT
# compiler, whose library would be most of the image, so it stays out.
ARG BASE_IMAGE=debian:12.11-slim
FROM ${BASE_IMAGE} AS fetch
LABEL codegen.stage=fetch
COPY docker/fetch host* /fetch/
RUN mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
RUN /fetch/apt-layer.sh postgresql-15 '?postgresql-15-pgvector' \
    && rm -rf /layer/usr/lib/*/libLLVM* /layer/usr/lib/llvm* /layer/usr/lib/postgresql/15/lib/bitcode

FROM ${BASE_IMAGE}
COPY --from=fetch /layer/ /
COPY docker/health /opt/health
COPY docker/postgres /opt/postgres
RUN usermod --uid 10003 postgres && groupmod --gid 10003 postgres \
    && install -d -o postgres -g postgres -m 700 /var/lib/postgresql/cluster && install -d -o postgres -g postgres /run/postgresql
ENV PATH=/usr/lib/postgresql/15/bin:$PATH LANG=C.UTF-8
USER postgres
VOLUME /var/lib/postgresql/cluster
EXPOSE 5432
# Fast shutdown: clients are cut off, nothing committed is lost.
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1s --timeout=120s --start-period=10s --retries=3 CMD ["/opt/health/paced", "timeout", "2", "pg_isready", "--quiet", "--host=127.0.0.1", "--username=postgres"]
ENTRYPOINT ["/opt/postgres/entrypoint"]
