"""Valid messages with as little said as possible."""

from __future__ import annotations

from shared.contracts.queues.events import ProvisionerMessage
from shared.contracts.queues.work import DeployMessage, EngineeringMessage, ScaffolderMessage


def engineering_message(
    task_id: str = "task-1", *, project_id: str = "project-1", user_id: str = "user-1"
) -> EngineeringMessage:
    return EngineeringMessage(task_id=task_id, project_id=project_id, user_id=user_id)


def deploy_message(task_id: str = "task-2", *, project_id: str = "project-1", user_id: str = "user-1") -> DeployMessage:
    return DeployMessage(task_id=task_id, project_id=project_id, user_id=user_id)


def scaffolder_message(project_id: str = "project-1", *, project_name: str = "todo-app") -> ScaffolderMessage:
    return ScaffolderMessage(project_id=project_id, project_name=project_name)


def provisioner_message(server_handle: str = "vps-1") -> ProvisionerMessage:
    return ProvisionerMessage(server_handle=server_handle)
