"""Names and Dockerfiles of worker images: pure functions of agent, capabilities and base; builds nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from shared.contracts.vocabulary import AgentType, WorkerCapability
from worker_manager.agents import AGENTS
from worker_manager.agents.base import INSTALL_DIR

HASH_LENGTH = 12
LABEL_PREFIX = "codegen.worker"

# Layers in this order, so that images with more capabilities share the layers of those with fewer.
CAPABILITY_ORDER = (
    WorkerCapability.GIT,
    WorkerCapability.CURL,
    WorkerCapability.GITHUB_CLI,
    WorkerCapability.DOCKER,
)
_APT_PACKAGES = {
    WorkerCapability.GIT: "git",
    WorkerCapability.CURL: "curl",
    WorkerCapability.GITHUB_CLI: "gh",
    WorkerCapability.DOCKER: "docker.io",
}
BUILD_LABEL = f"{LABEL_PREFIX}.build"
ENVIRONMENT_LABEL = f"{LABEL_PREFIX}.environment"


def canonical_capabilities(capabilities: Iterable[str]) -> list[WorkerCapability]:
    """Return unique capabilities in layer order, parsed case-insensitively; ValueError names an unknown one."""
    wanted = {WorkerCapability(capability) for capability in capabilities}
    return [capability for capability in CAPABILITY_ORDER if capability in wanted]


def compute_image_hash(
    capabilities: Iterable[str],
    agent_type: str = AgentType.CLAUDE,
    *,
    agent_version: str | None = None,
    base_digest: str = "",
) -> str:
    """Return 12 hex digits that name the image: equal inputs, whatever their order and case, give equal names."""
    agent = AgentType(agent_type)
    recipe = {
        "agent_type": agent.value,
        "agent_version": agent_version or AGENTS[agent].version,
        "base_digest": base_digest,
        "capabilities": sorted(capability.value for capability in canonical_capabilities(capabilities)),
    }
    canonical = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:HASH_LENGTH]


@dataclass(frozen=True, slots=True)
class ImageRecipe:
    """What a worker's image contains besides its base."""

    agent_type: AgentType
    capabilities: tuple[WorkerCapability, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageBuilder:
    """Names and describes images of one prefix on one base; `base_digest` covers the sources inside the base."""

    prefix: str = "codegen-worker"
    base_digest: str = ""
    environment: str = "local"

    def image_hash(self, recipe: ImageRecipe) -> str:
        return compute_image_hash(recipe.capabilities, recipe.agent_type, base_digest=self.base_digest)

    def tag(self, recipe: ImageRecipe) -> str:
        return f"{self.prefix}:{self.image_hash(recipe)}"

    def labels(self, recipe: ImageRecipe) -> dict[str, str]:
        """Return the labels by which garbage collection knows our images."""
        return {
            f"{LABEL_PREFIX}.agent": recipe.agent_type.value,
            f"{LABEL_PREFIX}.capabilities": ",".join(canonical_capabilities(recipe.capabilities)),
            f"{LABEL_PREFIX}.source": self.base_digest,
            ENVIRONMENT_LABEL: self.environment,
        }

    def agent_tag(self, agent_type: AgentType) -> str:
        """Return the name of the image that holds an agent's binary and nothing else."""
        return f"{self.prefix}-agent:{agent_type.value}-{AGENTS[agent_type].version}"

    def agent_dockerfile(self, agent_type: AgentType) -> str:
        """Return what fetches an agent; it is kept apart because bases change far more often than agents."""
        lines = ["ARG FETCH_IMAGE", *self._stage("${FETCH_IMAGE}", "fetch"), "COPY host /fetch/"]
        lines += [f"RUN . /fetch/settings.sh && {command}" for command in AGENTS[agent_type].get_install_commands()]
        lines += ["FROM scratch", f"COPY --from=fetch {INSTALL_DIR}/bin {INSTALL_DIR}/bin"]
        labels = {f"{LABEL_PREFIX}.agent": agent_type.value, ENVIRONMENT_LABEL: self.environment}
        lines += [f'LABEL {name}="{value}"' for name, value in labels.items()]
        return "\n".join(lines) + "\n"

    def dockerfile(self, recipe: ImageRecipe) -> str:
        """Return a Dockerfile for the classic builder; BASE_IMAGE, FETCH_IMAGE and AGENT_IMAGE name its stages' bases.

        The context holds `host/`, the package-client settings of the building host, which only fetch stages see.
        """
        agent = AGENTS[recipe.agent_type]
        capabilities = canonical_capabilities(recipe.capabilities)
        lines = ["ARG BASE_IMAGE", "ARG FETCH_IMAGE", "ARG AGENT_IMAGE", *self._stage("${FETCH_IMAGE}", "fetch")]
        if agent.binary:
            lines += self._stage("${AGENT_IMAGE}", "agent")
        parent = "${BASE_IMAGE}"
        for capability in capabilities:
            lines += [*self._stage(parent, _stage_of(capability)), "USER root"]
            if parent == "${BASE_IMAGE}":
                lines += ["COPY --from=fetch /fetch /fetch", "COPY host /fetch/"]
            lines.append(f"RUN rm -rf /layer && /fetch/apt-layer.sh {_APT_PACKAGES[capability]}")
            parent = _stage_of(capability)
        lines += [*self._stage("${BASE_IMAGE}"), "USER root"]
        if agent.binary:
            lines.append(f"COPY --from=agent {INSTALL_DIR}/bin/{agent.binary} /usr/local/bin/{agent.binary}")
        lines += [_layer(capability) for capability in capabilities]
        labels = {"codegen.image": "worker"} | self.labels(recipe)
        lines += ["USER worker", *(f'LABEL {name}="{value}"' for name, value in labels.items())]
        return "\n".join(lines) + "\n"

    def _stage(self, parent: str, name: str = "") -> list[str]:
        """Return a stage's first lines: its label is how what a build leaves behind is found."""
        return [f"FROM {parent}{f' AS {name}' if name else ''}", f'LABEL {BUILD_LABEL}="{self.environment}"']


def _stage_of(capability: WorkerCapability) -> str:
    return f"with-{capability.value.replace('_', '-')}"


def _layer(capability: WorkerCapability) -> str:
    if capability is WorkerCapability.DOCKER:
        # The client alone runs by itself; the engine's package would add five times its size.
        return f"COPY --from={_stage_of(capability)} /layer/usr/bin/docker /usr/local/bin/docker"
    return f"COPY --from={_stage_of(capability)} /layer/ /"
