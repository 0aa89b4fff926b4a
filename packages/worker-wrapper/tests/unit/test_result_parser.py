"""Finding the result block."""

from __future__ import annotations

import json
import time

import pytest

from worker_wrapper.errors import ResultParseError
from worker_wrapper.result_parser import ResultParser


class TestResultParser:
    def test_extracts_json_from_result_tags(self) -> None:
        """Should extract JSON from <result>...</result>."""
        stdout = """
        Some text output
        <result>
        {"status": "success", "commit_sha": "abc123"}
        </result>
        More text
        """
        result = ResultParser.parse(stdout)
        assert result is not None
        assert result["status"] == "success"
        assert result["commit_sha"] == "abc123"

    def test_handles_missing_result_tags(self) -> None:
        """Should return None when no result tags found."""
        stdout = "Agent finished without result tags"
        result = ResultParser.parse(stdout)
        assert result is None

    def test_handles_malformed_json(self) -> None:
        """Should raise ParseError for invalid JSON inside tags."""
        stdout = "<result>not valid json</result>"
        with pytest.raises(ResultParseError):
            ResultParser.parse(stdout)

    def test_handles_multiline_json(self) -> None:
        """Should handle pretty-printed JSON."""
        stdout = """<result>
        {
            "status": "success",
            "summary": "Done"
        }
        </result>"""
        result = ResultParser.parse(stdout)
        assert result is not None
        assert result["status"] == "success"

    def test_extracts_first_result_block(self) -> None:
        """If multiple result blocks, extract first one."""
        stdout = '<result>{"a": 1}</result> text <result>{"b": 2}</result>'
        result = ResultParser.parse(stdout)
        assert result is not None
        assert result["a"] == 1


def test_an_unclosed_block_is_no_result() -> None:
    assert ResultParser.parse('<result>{"a": 1}') is None


@pytest.mark.parametrize("body", ["[1, 2]", '"text"', "null", "", '{"a": 1} {"b": 2}', "{" * 100_000])
def test_anything_but_one_json_object_is_refused(body: str) -> None:
    with pytest.raises(ResultParseError):
        ResultParser.parse(f"<result>{body}</result>")


def test_a_code_fence_inside_the_block_is_taken_off() -> None:
    assert ResultParser.parse('<result>\n```json\n{"a": 1}\n```\n</result>') == {"a": 1}


def test_a_mention_of_the_tag_in_prose_does_not_hide_the_block() -> None:
    assert ResultParser.parse('I end with a <result> block: <result>{"a": 1}</result>') == {"a": 1}


def test_strings_may_hold_the_tags_themselves() -> None:
    value = {"summary": "prints <result>x</result> at the end"}
    assert ResultParser.parse(f"<result>{json.dumps(value)}</result>") == value


def test_parsing_takes_time_linear_in_the_text() -> None:
    def seconds(size: int) -> float:
        text = "<result>" * size + "x" * size
        began = time.perf_counter()
        assert ResultParser.parse(text) is None
        return time.perf_counter() - began

    seconds(1000)
    assert seconds(400_000) < 0.5
