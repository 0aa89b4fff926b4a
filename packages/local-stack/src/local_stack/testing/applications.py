"""The smallest applications a model can write: a page, its test, and the ways in which they can be wrong."""

from __future__ import annotations

ROUTER = '''"""Says one thing."""

from fastapi import APIRouter

router = APIRouter()
ANSWER = "{answer}"


@router.get("/answer")
def answer() -> dict[str, str]:
    """Return the answer."""
    return {{"answer": ANSWER}}
'''
TEST = '''"""The answer is the right one."""

from fastapi.testclient import TestClient


def test_the_answer(client: TestClient) -> None:
    assert client.get("/answer").json() == {{"answer": "{expected}"}}
'''
TEST_OF_A_FILE = '''"""The answer is the one in a file that nobody commits."""

from pathlib import Path

from fastapi.testclient import TestClient


def test_the_answer_is_the_one_in_the_file(client: TestClient) -> None:
    expected = Path("data/answer.txt").read_text().strip()
    assert client.get("/answer").json() == {"answer": expected}
'''
ROUTER_PATH = "app/routers/answer.py"
TEST_PATH = "tests/test_answer.py"


def answering(answer: str, expected: str | None = None) -> dict[str, str]:
    """Return the files of an application that answers, and a test that expects it (or something else)."""
    return {
        ROUTER_PATH: ROUTER.format(answer=answer),
        TEST_PATH: TEST.format(expected=answer if expected is None else expected),
    }


def passing_only_here(answer: str) -> dict[str, str]:
    """Return files whose test needs a file that git ignores: green in the workspace, red in a clean checkout."""
    return {
        ROUTER_PATH: ROUTER.format(answer=answer),
        TEST_PATH: TEST_OF_A_FILE,
        "data/answer.txt": f"{answer}\n",
    }


def answers_now(answer: str) -> str:
    """Return a command that changes what an application of the kind above answers."""
    return f"sed -i 's|^ANSWER = .*|ANSWER = \"{answer}\"|' {ROUTER_PATH}"


def expects_now(answer: str) -> str:
    """Return a command that replaces the test by one that expects an answer."""
    return f"cat > {TEST_PATH} <<'END'\n{TEST.format(expected=answer)}END"
