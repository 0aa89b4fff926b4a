"""The child process that runs Ansible: `python -m infra_service.play_process`, JSON on stdin, one JSON line on stdout.

It sees no secret of the service, and ends with it: SIGTERM or the service's death cancels the play.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import ansible_runner

from infra_service.appd.processes import kill_carrying

FAILED_EVENTS = ("runner_on_failed", "runner_on_unreachable", "runner_item_on_failed")
_MESSAGE_CHARS = 2000


class Report:
    """Collects what a caller wants to know of a play."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.failures: list[str] = []
        self.is_unreachable = False

    def note(self, event: dict[str, Any]) -> bool:
        """Take one event; returning False keeps the runner from writing it to disk."""
        kind, data = event.get("event", ""), event.get("event_data", {})
        result = data.get("res") or {}
        if kind == "runner_on_ok" and result.get("changed"):
            self.changed.append(str(data.get("task")))
        elif kind in FAILED_EVENTS and not data.get("ignore_errors"):
            self.is_unreachable = self.is_unreachable or kind == "runner_on_unreachable"
            text = result.get("stderr") or result.get("msg") or "no reason given"
            self.failures.append(f"{data.get('task')}: {str(text).strip()[:_MESSAGE_CHARS]}")
        return False


def play(request: dict[str, Any], cancelled: threading.Event) -> dict[str, Any]:
    """Run one playbook and return its report."""
    report = Report()
    # A service that was killed cannot say so: its children get another parent.
    parent = os.getppid()
    try:
        runner = _run(request, report, lambda: cancelled.is_set() or os.getppid() != parent)
    finally:
        # Ansible's workers and ssh's shared connections live in sessions of their own and outlive it.
        kill_carrying(f"ANSIBLE_HOME={request['environment']['ANSIBLE_HOME']}")
        if os.getppid() != parent:
            shutil.rmtree(request["private_data_dir"], ignore_errors=True)
    failures = report.failures
    if runner.status != "successful" and not failures:
        failures = [_last_words(runner) or f"ansible ended as {runner.status}"]
    return {
        "status": runner.status,
        "changed": report.changed,
        "failures": failures,
        "is_unreachable": report.is_unreachable,
    }


def _run(request: dict[str, Any], report: Report, is_cancelled: Callable[[], bool]) -> Any:
    return ansible_runner.run(
        private_data_dir=request["private_data_dir"],
        playbook="site.yml",
        inventory=request["inventory"],
        envvars=request["environment"],
        cmdline=request["command_line"],
        settings={"job_timeout": request["seconds"], "suppress_ansible_output": True},
        event_handler=report.note,
        cancel_callback=is_cancelled,
        quiet=True,
    )


def _last_words(runner: Any) -> str:
    return str(runner.stdout.read()).strip()[-_MESSAGE_CHARS:]


def main() -> int:
    cancelled = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: cancelled.set())
    json.dump(play(json.load(sys.stdin), cancelled), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
