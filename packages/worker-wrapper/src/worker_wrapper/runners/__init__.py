"""One runner per agent program: its command line, its prompt's way in, and its envelope."""

from worker_wrapper.runners.base import AgentRunner, Session
from worker_wrapper.runners.claude import ClaudeRunner
from worker_wrapper.runners.factory import FactoryRunner
from worker_wrapper.runners.mock import MockRunner

__all__ = ["AgentRunner", "ClaudeRunner", "FactoryRunner", "MockRunner", "Session"]
