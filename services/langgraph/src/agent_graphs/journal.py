"""Collects a run's events while it is driven and appends them in few calls. Keys make every event appear once."""

from __future__ import annotations

from shared.clients.api_port import Api
from shared.contracts.dto.work import RunEventAppend
from shared.contracts.queues.events import RunEventPayload
from shared.contracts.vocabulary import RunEventType


class Journal:
    """Events of one run in order; nothing is stored before flush()."""

    def __init__(self, api: Api, run_id: str) -> None:
        self._api = api
        self._run_id = run_id
        self._pending: list[RunEventAppend] = []
        self._is_closed = False
        self._open_node: tuple[str, int] | None = None

    def node_started(self, node: str, visit: int) -> None:
        """Note the start of a node; a node that is open already goes on."""
        if self._open_node == (node, visit):
            return
        self._open_node = (node, visit)
        self.add(RunEventType.NODE_STARTED, f"{node}:{visit}:started", RunEventPayload(node=node, attempt=visit))

    def node_resumed(self, node: str, visit: int) -> None:
        """Go on with a node whose start was stored before the run paused."""
        self._open_node = (node, visit)

    def node_finished(self) -> None:
        """Note the end of the node that is open, once."""
        if self._open_node is None:
            return
        node, visit = self._open_node
        self._open_node = None
        self.add(RunEventType.NODE_FINISHED, f"{node}:{visit}:finished", RunEventPayload(node=node, attempt=visit))

    def add(self, kind: RunEventType, key: str, payload: RunEventPayload) -> None:
        if not self._is_closed:
            self._pending.append(RunEventAppend(type=kind, key=key, payload=payload))

    async def flush(self) -> None:
        """Store what was collected; on failure it stays collected."""
        if self._pending:
            count = len(self._pending)
            await self._api.append_events(self._run_id, self._pending[:count])
            del self._pending[:count]

    def close(self) -> None:
        """Accept no further event: the run's last one is written by the transition that ends it."""
        self._is_closed = True
        self._pending.clear()
