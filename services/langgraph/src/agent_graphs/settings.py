"""What the graphs are told from outside."""

from __future__ import annotations

from pydantic import Field, FilePath, SecretStr

from agent_graphs.policy import Policy
from shared.contracts.queues.workers import DEFAULT_STAGE_TIMEOUT_SECONDS
from shared.contracts.vocabulary import AgentType
from shared.runtime.settings import ServiceSettings


class LangGraphSettings(ServiceSettings):
    checkpoint_database_url: SecretStr = Field(description="postgresql://…; the schema `checkpoints` is created in it")
    checkpoint_max_connections: int = Field(default=10, ge=2)
    github_api_url: str = "https://api.github.com"
    github_web_url: str = Field(default="https://github.com", description="base of clone addresses")
    github_app_id: str
    github_app_private_key_file: FilePath
    attempt_secret: SecretStr = Field(min_length=16)
    deploy_token: SecretStr
    agent_type: AgentType = AgentType.CLAUDE
    stage_timeout_seconds: int = Field(default=DEFAULT_STAGE_TIMEOUT_SECONDS, ge=1)
    poll_interval_seconds: float = Field(default=2.0, gt=0)
    nudge_seconds: float = Field(default=60, gt=0, description="first pause before an unanswered request is repeated")
    answer_grace_seconds: float = Field(default=120, gt=0)
    smoke_deadline_seconds: float = Field(default=60, gt=0)
    lease_seconds: float = Field(default=30, gt=0)
    concurrency: int = Field(default=16, ge=1, description="messages of one stream handled at a time")

    @property
    def policy(self) -> Policy:
        return Policy(
            attempt_secret=self.attempt_secret,
            deploy_token=self.deploy_token,
            agent_type=self.agent_type,
            github_web_url=self.github_web_url,
            stage_timeout_seconds=self.stage_timeout_seconds,
            nudge_seconds=self.nudge_seconds,
            answer_grace_seconds=self.answer_grace_seconds,
            smoke_deadline_seconds=self.smoke_deadline_seconds,
        )
