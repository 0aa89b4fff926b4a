"""Image names and Dockerfiles."""

from __future__ import annotations

import pytest

from shared.contracts.vocabulary import AgentType, WorkerCapability
from worker_manager.image_builder import ImageBuilder, ImageRecipe, compute_image_hash


class TestImageHashWithAgentType:
    def test_same_capabilities_different_agent_produce_different_hash(self) -> None:
        """Same capabilities but different agent = different image."""
        hash_claude = compute_image_hash(["GIT"], agent_type="claude")
        hash_factory = compute_image_hash(["GIT"], agent_type="factory")
        assert hash_claude != hash_factory

    def test_hash_deterministic_with_agent_type(self) -> None:
        """Agent type should be part of deterministic hash."""
        h1 = compute_image_hash(["GIT", "CURL"], agent_type="claude")
        h2 = compute_image_hash(["CURL", "GIT"], agent_type="claude")
        assert h1 == h2


def test_a_hash_is_twelve_hex_digits() -> None:
    name = compute_image_hash([])
    assert len(name) == 12
    assert set(name) <= set("0123456789abcdef")


def test_case_and_repetition_of_capabilities_do_not_change_the_hash() -> None:
    assert compute_image_hash(["git", "GIT", "Curl"]) == compute_image_hash([WorkerCapability.CURL, "git"])


@pytest.mark.parametrize(
    "other",
    [
        compute_image_hash(["GIT", "CURL"]),
        compute_image_hash(["GIT"], agent_version="0.0.1"),
        compute_image_hash(["GIT"], base_digest="sha256:other"),
    ],
)
def test_everything_that_changes_the_image_changes_the_hash(other: str) -> None:
    assert compute_image_hash(["GIT"]) != other


def test_an_unknown_capability_is_named() -> None:
    with pytest.raises(ValueError, match="warp"):
        compute_image_hash(["warp"])


def test_a_dockerfile_copies_only_the_agents_binary_and_ends_as_the_worker() -> None:
    recipe = ImageRecipe(AgentType.CLAUDE, (WorkerCapability.CURL, WorkerCapability.GIT))
    lines = ImageBuilder(base_digest="d1").dockerfile(recipe).splitlines()
    assert lines.count("FROM ${BASE_IMAGE}") == 1  # the last stage
    assert "COPY --from=agent /agent/bin/claude /usr/local/bin/claude" in lines
    assert [line for line in lines if line.startswith("USER ")][-1] == "USER worker"
    assert 'LABEL codegen.worker.capabilities="git,curl"' in lines


def test_layers_come_in_one_order_so_that_images_share_them() -> None:
    both = ImageBuilder().dockerfile(ImageRecipe(AgentType.CLAUDE, (WorkerCapability.CURL, WorkerCapability.GIT)))
    final = both[both.rindex("FROM ") :]
    git_at, curl_at = final.index("--from=with-git"), final.index("--from=with-curl")
    copied_at = final.index("COPY --from=agent")
    assert copied_at < git_at < curl_at


def test_the_last_stage_fetches_nothing_and_sees_no_settings_of_the_host() -> None:
    text = ImageBuilder().dockerfile(ImageRecipe(AgentType.FACTORY, tuple(WorkerCapability)))
    assert text.count("apt-layer.sh") == 4
    final = text[text.rindex("FROM ") :]
    assert "RUN" not in final
    assert "host" not in final


def test_every_stage_carries_the_label_by_which_it_is_removed() -> None:
    text = ImageBuilder(environment="e1").dockerfile(ImageRecipe(AgentType.CLAUDE, (WorkerCapability.GIT,)))
    assert text.count("FROM ") == text.count('LABEL codegen.worker.build="e1"') == 4
    fetched = ImageBuilder(environment="e1").agent_dockerfile(AgentType.CLAUDE)
    assert fetched.count('LABEL codegen.worker.build="e1"') == fetched.count("FROM ${")


def test_docker_is_the_client_alone() -> None:
    text = ImageBuilder().dockerfile(ImageRecipe(AgentType.MOCK, (WorkerCapability.DOCKER,)))
    assert "COPY --from=with-docker /layer/usr/bin/docker /usr/local/bin/docker" in text
    assert "AS agent" not in text


def test_a_tag_carries_the_prefix_and_the_hash() -> None:
    builder = ImageBuilder(prefix="ours", base_digest="d1")
    recipe = ImageRecipe(AgentType.CLAUDE, (WorkerCapability.GIT,))
    assert builder.tag(recipe) == f"ours:{compute_image_hash(['git'], base_digest='d1')}"
