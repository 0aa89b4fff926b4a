"""A real language model builds what it was asked for: `make test-e2e-real`, with ANTHROPIC_API_KEY. It costs money."""

from __future__ import annotations

import json
import os

import pytest

from local_stack.sweep import leftovers
from local_stack.testing.command import Codegen, own_home

KEY = "ANTHROPIC_API_KEY"
WISH = "A page that converts kilometres to miles: a number goes in, the result is shown below it."
SECONDS = 2400
pytestmark = [
    pytest.mark.e2e_real,
    pytest.mark.timeout(SECONDS + 60),
    pytest.mark.skipif(not os.environ.get(KEY), reason=f"needs {KEY}"),
]


async def test_a_real_model_makes_a_wish_a_page_that_answers() -> None:
    with own_home("codegen-real-") as home:
        wish = ("demo", "--unsandboxed", "--no-keep", "--prompt", WISH)
        code, output = await Codegen(home, accounts=(KEY,)).call(*wish, deadline_seconds=SECONDS)
        assert code == 0, output
        report = json.loads((home / "demo-report.json").read_text())
        assert [check for check in report["checks"] if not check["ok"]] == []
        assert report["cost_usd"] > 0
        assert leftovers(home) == []
