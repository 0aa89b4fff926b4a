# What all services share: Debian's Python, the locked dependencies of every member in /opt/venv, a user, the entrypoint.
# A service adds its own packages in /opt/members, one thin layer.
ARG BASE_IMAGE=debian:12.11-slim
FROM ${BASE_IMAGE} AS fetch
LABEL codegen.stage=fetch
COPY docker/fetch host* /fetch/
RUN /fetch/apt-layer.sh python3 python3-venv ca-certificates
COPY image-requirements.txt /fetch/
RUN . /fetch/settings.sh && python3 -m venv /opt/venv \
    && /opt/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --no-deps -r /fetch/image-requirements.txt \
    && echo /opt/members > /opt/venv/lib/python3.11/site-packages/members.pth

FROM ${BASE_IMAGE}
COPY --from=fetch /layer/ /
COPY --from=fetch /opt/venv /opt/venv
COPY docker/health /opt/health
COPY docker/runtime /opt/runtime
RUN useradd --uid 10001 --create-home orchestrator && install -d /opt/members
ENV PATH=/opt/venv/bin:/opt/members/bin:$PATH PYTHONUNBUFFERED=1 LANG=C.UTF-8
ENTRYPOINT ["/opt/runtime/entrypoint"]
