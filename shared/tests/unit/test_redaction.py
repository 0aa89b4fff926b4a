"""Secrets never reach a log line, whatever their shape and wherever they stand."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from shared.contracts.base import correlation
from shared.logging import get_logger, setup_logging
from shared.logging.redaction import MASK, Redactor, redact, redact_body

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhcGkifQ.c2lnbmF0dXJlLXZhbHVl"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"
SHAPES = [
    "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ",
    "sk-ant-api03-AbCdEf_123-456",
    "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw_",
    JWT,
    PEM,
]


@contextmanager
def json_logging() -> Iterator[None]:
    """Set logging up while the block runs; inside a test, because pytest exchanges stderr after its fixtures."""
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    setup_logging("tester")
    try:
        yield
    finally:
        structlog.reset_defaults()
        logging.basicConfig(handlers=handlers, level=level, force=True)


@pytest.mark.parametrize("secret", SHAPES)
def test_a_known_shape_is_masked_inside_text(secret: str) -> None:
    assert redact(f"before {secret} after") == f"before {MASK} after"


@pytest.mark.parametrize("secret", SHAPES)
def test_a_known_shape_is_masked_inside_json(secret: str) -> None:
    assert json.loads(redact(json.dumps({"a": secret, "b": 1}))) == {"a": MASK, "b": 1}


def test_a_telegram_token_is_masked_inside_a_request_url() -> None:
    assert "AAHdq" not in redact("POST https://host/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw_/getMe")


def test_a_password_inside_a_url_is_masked_and_the_rest_stays() -> None:
    assert redact("redis://user:hunter2@host:6379/0") == f"redis://user:{MASK}@host:6379/0"
    assert redact("postgresql+asyncpg://u:p%40ss@h/db") == f"postgresql+asyncpg://u:{MASK}@h/db"
    assert redact("redis://:hunter2@host/0") == f"redis://:{MASK}@host/0"


def test_a_bearer_header_keeps_its_name() -> None:
    assert redact("Authorization: Bearer abc.def-123456") == f"Authorization: Bearer {MASK}"


@pytest.mark.parametrize("text", ["run 12345678 took 3:45", "http://host:8080/path", "eyJ is not a token", "ghs_short"])
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


def test_a_registered_value_is_masked_also_where_json_escapes_it() -> None:
    redactor = Redactor()
    redactor.register('two\nlines "quoted" ü')
    assert "quoted" not in redactor.redact(json.dumps({"x": 'two\nlines "quoted" ü'}))
    assert "quoted" not in redactor.redact('two\nlines "quoted" ü')


def test_a_registered_value_inside_a_longer_one_does_not_leave_its_rest() -> None:
    redactor = Redactor()
    redactor.register("secret-part")
    redactor.register("secret-part-and-more")
    assert redactor.redact("secret-part-and-more") == MASK


def test_very_short_values_are_not_registered() -> None:
    redactor = Redactor()
    redactor.register("")
    redactor.register("ab")
    assert redactor.redact("abracadabra") == "abracadabra"


def test_a_log_line_is_json_with_service_correlation_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    with json_logging(), correlation("chat-1"):
        get_logger("here").info("hello", token=SHAPES[0], nested={"deep": [JWT]})
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["service"], line["correlation_id"]) == ("hello", "tester", "chat-1")
    assert (line["token"], line["nested"]) == (MASK, {"deep": [MASK]})
    assert line["timestamp"].endswith("Z")


def test_other_libraries_lines_get_the_same_treatment(capsys: pytest.CaptureFixture[str]) -> None:
    with json_logging():
        logging.getLogger("somebody").warning("sent %s", SHAPES[1])
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["component"], line["service"]) == (f"sent {MASK}", "somebody", "tester")


def test_a_traceback_is_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError(f"refused {SHAPES[3]}")
    except ValueError:
        with json_logging():
            get_logger("here").exception("boom")
    text = capsys.readouterr().err
    assert "ValueError: refused" in text
    assert "AbCdEf" not in text


def test_a_body_is_shown_without_what_its_field_names_call_secret() -> None:
    body = json.dumps(
        {
            "task_id": "t1",
            "text": "Привет",
            "repo": {"token": "plain", "url": "https://x:pw@host/r.git"},
            "attempt_token": "0123abcd",
            "config": {"api_key": "fk-1", "env_vars": {"COLOUR": "blue"}},
            "usage": {"input_tokens": 5},
        }
    )
    assert json.loads(redact_body(body)) == {
        "task_id": "t1",
        "text": "Привет",
        "repo": {"token": MASK, "url": f"https://x:{MASK}@host/r.git"},
        "attempt_token": MASK,
        "config": {"api_key": MASK, "env_vars": {"COLOUR": MASK}},
        "usage": {"input_tokens": 5},
    }


def test_a_body_that_is_not_json_keeps_its_text_and_loses_its_secrets() -> None:
    assert redact_body("{broken ghs_0123456789abcdef0123") == f"{{broken {MASK}"
    assert redact_body("a\x00b") == "a\\x00b"


def test_a_body_with_half_a_character_can_be_stored() -> None:
    redact_body('{"text": "\\ud800"}').encode()
    redact_body("[" * 100_000).encode()
