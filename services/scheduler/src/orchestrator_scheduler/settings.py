"""What the scheduler is told from outside. Intervals are seconds."""

from __future__ import annotations

from shared.runtime.settings import ServiceSettings


class SchedulerSettings(ServiceSettings):
    reconcile_interval_seconds: float = 30.0
    provisioner_interval_seconds: float = 10.0
    orphan_age_seconds: float = 15.0
    overdue_seconds: float = 5.0
    dead_letter_interval_seconds: float = 5.0
    worker_dead_letter_interval_seconds: float = 60.0
    dead_letter_trim_interval_seconds: float = 900.0
