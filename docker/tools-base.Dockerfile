# The shared Python base and the programs some services start: git, make, ssh, uv. Also the image of the server that
# runs applications beside the emulators.
ARG BASE_IMAGE=codegen/python-base
FROM ${BASE_IMAGE} AS fetch
LABEL codegen.stage=fetch
COPY docker/fetch host* /fetch/
RUN /fetch/apt-layer.sh git make openssh-client procps
COPY uv-requirements.txt /fetch/
RUN . /fetch/settings.sh \
    && python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --no-deps --target /opt/uv -r /fetch/uv-requirements.txt

FROM ${BASE_IMAGE}
COPY --from=fetch /layer/ /
COPY --from=fetch /opt/uv/bin/uv /usr/local/bin/uv
RUN install -d -o orchestrator -g orchestrator /srv/codegen /var/lib/codegen
