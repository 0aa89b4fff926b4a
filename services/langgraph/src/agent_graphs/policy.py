"""The numbers and credentials the graphs decide by. One frozen value, built by the composition root."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import SecretStr

from shared.contracts.queues.workers import DEFAULT_STAGE_TIMEOUT_SECONDS
from shared.contracts.vocabulary import AgentType


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits count attempts including the first; times are seconds."""

    attempt_secret: SecretStr
    deploy_token: SecretStr
    agent_type: AgentType = AgentType.CLAUDE
    github_web_url: str = "https://github.com"
    stage_timeout_seconds: int = DEFAULT_STAGE_TIMEOUT_SECONDS
    max_code_attempts: int = 3
    max_stage_attempts: int = 3
    max_review_rounds: int = 3
    max_deploy_fixes: int = 2
    worker_deadline_seconds: float = 1500
    scaffold_deadline_seconds: float = 900
    answer_grace_seconds: float = 120
    nudge_seconds: float = 60
    refusal_pause_seconds: float = 15
    human_pause_seconds: float = 300
    quota_pause_seconds: float = 900
    poll_start_seconds: float = 0.5
    poll_limit_seconds: float = 15
    checks_deadline_seconds: float = 3600
    no_checks_deadline_seconds: float = 600
    workflow_deadline_seconds: float = 1800
    workflow_appears_seconds: float = 60
    smoke_deadline_seconds: float = 60
    diff_limit_chars: int = 60_000
    log_limit_chars: int = 8_000
