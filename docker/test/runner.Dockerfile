# The repository with its tests, as a layer, its members installed in place. No service image holds a test; this one
# holds no service.
ARG BASE_IMAGE=codegen/runner-base
FROM ${BASE_IMAGE}
COPY . /repository
WORKDIR /repository
RUN uv pip install --quiet --offline --no-cache --python /opt/venv/bin/python --no-deps --no-build-isolation \
    $(for member in shared services/* packages/*; do echo "--editable ./$member"; done) \
    && python3 -m compileall -q -j 0 -x '/(template|scenarios|build)/' shared services packages tests
