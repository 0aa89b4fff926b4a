"""Whole stacks for tests: start one, talk to it, script its model, break it, look at what it did."""

from local_stack.testing.answers import Reply, Work, fails, result, run, say, script, write
from local_stack.testing.bench import Bench, running_bench
from local_stack.testing.conversation import Conversation, is_link
from local_stack.testing.waiting import eventually

__all__ = [
    "Bench",
    "Conversation",
    "Reply",
    "Work",
    "eventually",
    "fails",
    "is_link",
    "result",
    "run",
    "running_bench",
    "say",
    "script",
    "write",
]
