"""`python3 SERVER_DIR/bin/appd --root SERVER_DIR`: runs until SIGTERM, then leaves no process behind.

It also ends when its program or its configuration was replaced: whoever keeps it running starts the new one.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from infra_service.appd.daemon import Daemon
from infra_service.appd.errors import CannotStart
from infra_service.appd.receiver import Receiver
from infra_service.appd.settings import Layout

LOOK_SECONDS = 1.0


def main(argv: list[str]) -> int:
    """Serve; returns the exit code, 1 when it cannot run here."""
    parser = argparse.ArgumentParser(prog="appd", description="Runs a server's applications and takes their releases")
    parser.add_argument("--root", type=Path, required=True)
    root = parser.parse_args(argv).root.resolve()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        made_of = Layout(root).made_of()
        daemon = Daemon(root)
        daemon.open()
    except CannotStart as error:
        _say("cannot start", error=str(error))
        return 1
    try:
        return _serve(daemon, stop, made_of)
    finally:
        daemon.close()
        _say("stopped")


def _serve(daemon: Daemon, stop: threading.Event, made_of: object) -> int:
    try:
        receiver = Receiver(daemon)
    except OSError as error:
        _say("cannot listen", port=daemon.config.port, error=str(error))
        return 1
    with receiver:
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        _say("listening", url=f"http://{daemon.config.host}:{receiver.server_port}")
        while not stop.wait(LOOK_SECONDS):
            if daemon.layout.made_of() not in (None, made_of):
                _say("replaced")
                break
        receiver.shutdown()
        thread.join()
    return 0


def _say(event: str, **fields: object) -> None:
    sys.stderr.write(json.dumps({"event": event, **fields}) + "\n")
