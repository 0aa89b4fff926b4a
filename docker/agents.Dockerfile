# The pinned agent binaries, fetched from their npm platform packages and checked against their digest; no node at run
# time. Only /opt/agents is taken from this image.
ARG BASE_IMAGE=codegen/python-base
FROM ${BASE_IMAGE} AS fetch
LABEL codegen.stage=fetch
COPY docker/fetch host* /fetch/
COPY npm-requirements.txt /fetch/
RUN . /fetch/settings.sh \
    && python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --no-deps -r /fetch/npm-requirements.txt
COPY shared /opt/members/shared
COPY packages/local-stack/src /opt/members
RUN . /fetch/settings.sh && mkdir -p /opt/agents/bin \
    && python3 -c "import asyncio, pathlib, local_stack.agents as a; asyncio.run(a.ensure_claude(pathlib.Path('/opt/agents')))" \
    && mv /opt/agents/claude-* /opt/agents/bin/claude && chmod 755 /opt/agents/bin/claude

FROM scratch
COPY --from=fetch /opt/agents /opt/agents
