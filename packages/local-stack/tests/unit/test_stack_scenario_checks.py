"""What a scenario's checks say about an application's answers, and what the report makes of them."""

from __future__ import annotations

import httpx
import pytest
from pydantic import ValidationError

from local_stack.demo.report import Report
from local_stack.demo.scenario import HttpCheck, Scenario, scenario_for


def _client(status: int, text: str) -> httpx.AsyncClient:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=text)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://app.test")


async def _outcome(check: HttpCheck, status: int, text: str) -> tuple[bool, str]:
    report = Report()
    async with _client(status, text) as client:
        await check.run(client, report)
    assert [noted.name for noted in report.checks] == [check.name]
    return report.checks[0].ok, report.checks[0].detail


async def test_a_check_holds_when_status_and_texts_are_there() -> None:
    check = HttpCheck(name="page", path="/", contains=["<form"], in_order=["newer", "older"])
    assert await _outcome(check, 200, "<form> newer … older") == (True, "GET / → 200")


async def test_a_missing_text_is_named() -> None:
    is_ok, detail = await _outcome(HttpCheck(name="page", contains=["<form", "name"]), 200, "<form>")
    assert not is_ok
    assert "missing ['name']" in detail


async def test_texts_in_the_wrong_order_do_not_hold() -> None:
    is_ok, _ = await _outcome(HttpCheck(name="page", in_order=["newer", "older"]), 200, "older newer")
    assert not is_ok


async def test_another_status_does_not_hold_even_with_the_right_text() -> None:
    is_ok, detail = await _outcome(HttpCheck(name="page", contains=["fine"]), 500, "fine")
    assert not is_ok
    assert detail == "GET / → 500"


async def test_an_application_that_refuses_the_connection_fails_the_check_with_the_reason() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    report = Report()
    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse), base_url="http://app.test") as client:
        await HttpCheck(name="page", path="/x").run(client, report)
    assert [(check.ok, check.detail) for check in report.checks] == [(False, "GET /x: connection refused")]


async def test_a_form_is_posted_and_redirects_are_followed() -> None:
    seen: list[tuple[str, str, bytes]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.method, request.url.path, request.content))
        return httpx.Response(303, headers={"location": "/"}) if request.method == "POST" else httpx.Response(200)

    report = Report()
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://app.test") as client:
        await HttpCheck(name="post", method="POST", path="/items", form={"name": "Ada"}).run(client, report)
    assert report.is_good
    assert seen == [("POST", "/items", b"name=Ada"), ("GET", "/", b"")]


def test_a_report_without_checks_is_not_good() -> None:
    assert not Report().is_good


def test_one_failed_check_spoils_the_report() -> None:
    report = Report()
    report.check("first", True)
    assert report.is_good
    report.check("second", False)
    assert not report.is_good


def test_a_free_prompt_becomes_one_message_that_only_asks_for_a_start_page() -> None:
    scenario = scenario_for("a shopping list")
    assert [message.text for message in scenario.messages] == ["a shopping list"]
    assert [check.path for check in scenario.messages[0].checks] == ["/"]
    assert scenario.script is None


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"name": "x", "messages": []}, "messages"),
        ({"name": "x"}, "messages"),
        ({"name": "x", "messages": [{"text": "hi", "cheks": []}]}, "cheks"),
        ({"name": "x", "messages": [{"text": "hi", "checks": [{"name": "a", "method": "PUT"}]}]}, "method"),
    ],
)
def test_a_scenario_with_a_mistake_names_the_field(values: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        Scenario.model_validate(values)
