"""Puts the deploy graph together: which nodes there are; each names the one that follows."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from agent_graphs.deploy import endings, release, smoke, workflow
from agent_graphs.drive import Drive
from agent_graphs.nodes import Effect, WaitNode
from agent_graphs.parking import PARKED, PARKED_NODE
from agent_graphs.routing import CANCEL, FAIL
from agent_graphs.state import DeployState
from agent_graphs.steps import add_effect, add_wait


def effects() -> dict[str, Effect[DeployState]]:
    """Return the nodes that act; each may run twice without a second effect."""
    return {
        "load": release.load,
        "analyze_env": release.analyze_env,
        "resolve_secrets": release.resolve_secrets,
        "readiness": release.readiness,
        "allocate": release.allocate,
        "trigger_workflow": workflow.trigger_workflow,
        "settle_workflow": workflow.settle_workflow,
        "verify": smoke.verify,
    }


def endings_of() -> dict[str, Effect[DeployState]]:
    return {
        "finish": endings.finish,
        "rolled_back": endings.rolled_back,
        FAIL: endings.fail,
        CANCEL: endings.cancel,
    }


def waits() -> dict[str, WaitNode[Any]]:
    """Return the nodes that wait."""
    return {"await_workflow": workflow.AWAIT_WORKFLOW, "await_smoke": smoke.AWAIT_SMOKE, PARKED: PARKED_NODE}


def deploy_graph(
    saver: BaseCheckpointSaver[Any],
) -> CompiledStateGraph[DeployState, Drive, DeployState, DeployState]:
    """Return the compiled graph over a checkpoint saver."""
    graph = StateGraph(DeployState, context_schema=Drive)
    for name, node in effects().items():
        add_effect(graph, name, node, DeployState)
    for name, ending in endings_of().items():
        add_effect(graph, name, ending, DeployState, is_ending=True)
    for name, wait in waits().items():
        add_wait(graph, name, wait, DeployState)
    graph.add_edge(START, "load")
    return graph.compile(checkpointer=saver, name="deploy")
