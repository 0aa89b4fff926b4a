"""Puts the engineering graph together: which nodes there are; each names the one that follows."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from agent_graphs.drive import Drive
from agent_graphs.engineering import endings, preparation, pull_request
from agent_graphs.engineering.turns import request_turn, settle_turn
from agent_graphs.nodes import Effect, WaitNode
from agent_graphs.parking import PARKED, PARKED_NODE
from agent_graphs.requests import answer_node
from agent_graphs.routing import CANCEL, FAIL
from agent_graphs.state import EngineeringState
from agent_graphs.steps import add_effect, add_wait
from shared.contracts.vocabulary import Stage, WaitKind

_STAGES = (Stage.PLAN, Stage.CODE, Stage.TEST, Stage.REVIEW)


def effects() -> dict[str, Effect[EngineeringState]]:
    """Return the nodes that act; each may run twice without a second effect."""
    nodes: dict[str, Effect[EngineeringState]] = {
        "load": preparation.load,
        "request_scaffold": preparation.request_scaffold,
        "settle_scaffold": preparation.settle_scaffold,
        "request_worker": preparation.request_worker,
        "settle_worker": preparation.settle_worker,
        "open_pr": pull_request.open_pr,
        "settle_ci": pull_request.settle_ci,
        "merge": pull_request.merge,
    }
    for stage in _STAGES:
        nodes[f"request_{stage.value}"] = request_turn(stage)
        nodes[f"settle_{stage.value}"] = settle_turn(stage)
    return nodes


def endings_of() -> dict[str, Effect[EngineeringState]]:
    return {"finish": endings.finish, FAIL: endings.fail, CANCEL: endings.cancel}


def waits() -> dict[str, WaitNode[Any]]:
    """Return the nodes that wait."""
    nodes: dict[str, WaitNode[Any]] = {
        "await_scaffold": answer_node(WaitKind.SCAFFOLD, "request_scaffold", "settle_scaffold"),
        "await_worker": answer_node(WaitKind.WORKER_CREATED, "request_worker", "settle_worker"),
        "await_ci": pull_request.AWAIT_CI,
        PARKED: PARKED_NODE,
    }
    for name in (stage.value for stage in _STAGES):
        nodes[f"await_{name}"] = answer_node(WaitKind.WORKER_OUTPUT, f"request_{name}", f"settle_{name}")
    return nodes


def engineering_graph(
    saver: BaseCheckpointSaver[Any],
) -> CompiledStateGraph[EngineeringState, Drive, EngineeringState, EngineeringState]:
    """Return the compiled graph over a checkpoint saver."""
    graph = StateGraph(EngineeringState, context_schema=Drive)
    for name, node in effects().items():
        add_effect(graph, name, node, EngineeringState)
    for name, ending in endings_of().items():
        add_effect(graph, name, ending, EngineeringState, is_ending=True)
    for name, wait in waits().items():
        add_wait(graph, name, wait, EngineeringState)
    graph.add_edge(START, "load")
    return graph.compile(checkpointer=saver, name="engineering")
