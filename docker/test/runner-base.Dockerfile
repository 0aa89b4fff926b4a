# Every locked dependency, those of development included: what tests need to run outside the services.
ARG BASE_IMAGE=codegen/tools-base
FROM ${BASE_IMAGE} AS fetch
LABEL codegen.stage=fetch
COPY docker/fetch host* /fetch/
COPY requirements.lock /fetch/
RUN . /fetch/settings.sh \
    && python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --no-deps -r /fetch/requirements.lock

FROM ${BASE_IMAGE}
COPY --from=fetch /opt/venv /opt/venv
