# Every locked dependency, those of development included, and Debian's Redis, of which tests start servers of their own.
ARG BASE_IMAGE=codegen/tools-base
FROM ${BASE_IMAGE} AS fetch
LABEL codegen.stage=fetch
COPY docker/fetch host* /fetch/
RUN /fetch/apt-layer.sh redis-server
COPY requirements.lock /fetch/
RUN . /fetch/settings.sh \
    && python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --no-deps -r /fetch/requirements.lock

FROM ${BASE_IMAGE}
COPY --from=fetch /layer/ /
COPY --from=fetch /opt/venv /opt/venv
