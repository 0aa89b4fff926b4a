"""Rules are tried in order, count, capture and fill in."""

from dataclasses import replace
from pathlib import Path

import pytest

from emulators.anthropic.conversation import Prompt
from emulators.anthropic.engine import Engine, TextReply, ToolReply, UnmatchedPromptError
from emulators.anthropic.errors import ApiError
from emulators.anthropic.script import parse_script

ASKED = Prompt(
    conversation="c1",
    model="claude-opus",
    system="You are an agent",
    stage="code",
    user_text="please build a guest book",
    user_spoke_last=True,
    tool_names=(),
    tool_text="",
    tool_is_error=False,
    tools_spoke_last=False,
    turn=0,
    step=0,
)
RAN = replace(
    ASKED,
    user_spoke_last=False,
    tool_names=("Bash",),
    tool_text='{"id": "p-42"}',
    tools_spoke_last=True,
    turn=1,
    step=1,
)


def engine(rules: str, head: str = "") -> Engine:
    text = f"name: test\n{head}\nrules:\n{rules}"
    return Engine([parse_script(text, origin="test", folder=Path("/nonexistent"))])


def rule_for(tested: Engine, prompt: Prompt) -> str:
    return tested.choose(prompt).rule.name


@pytest.mark.parametrize(
    ("when", "asked", "ran"),
    [
        ("last_user_contains: guest book", True, False),
        ("last_user_matches: 'guest\\s+book$'", True, False),
        ("last_user_contains: shop", False, False),
        ("last_user_contains: guest book, after_tool: Bash", False, True),
        ("last_user_contains: guest book, turn: 1", False, True),
        ("last_user_contains: guest book, step: 0", True, False),
        ("stage: code", True, True),
        ("stage: plan", False, False),
        ("after_tool: Bash", False, True),
        ("after_tool: Write", False, False),
        ("last_tool_contains: p-42", False, True),
        ("last_tool_matches: 'p-\\d+'", False, True),
        ("tool_result_is_error: false", False, True),
        ("tool_result_is_error: true", False, False),
        ("system_contains: an agent", True, True),
        ("model_contains: haiku", False, False),
    ],
)
def test_conditions_hold_where_they_should(when: str, asked: bool, ran: bool) -> None:
    tested = engine(f"- {{name: it, when: {{{when}}}, reply: [{{text: a}}]}}\n- {{name: other, reply: [{{text: b}}]}}")
    assert [rule_for(tested, prompt) == "it" for prompt in (ASKED, RAN)] == [asked, ran]


def test_a_rule_used_up_makes_way_for_the_next() -> None:
    tested = engine("- {name: red, when: {times: 2}, reply: [{text: a}]}\n- {name: green, reply: [{text: b}]}")
    assert [rule_for(tested, ASKED) for _ in range(4)] == ["red", "red", "green", "green"]
    tested.reset()
    assert rule_for(tested, ASKED) == "red"


def test_an_unmatched_prompt_fails_loudly_and_shows_the_text() -> None:
    tested = engine("- {name: it, when: {last_user_contains: shop}, reply: [{text: a}]}")
    with pytest.raises(UnmatchedPromptError, match=r"no rule of test matches: stage code.*please build a guest book"):
        tested.choose(ASKED)
    with pytest.raises(UnmatchedPromptError, match=r"result of Bash.*p-42"):
        tested.choose(RAN)


def test_captured_values_are_filled_into_texts_and_inputs() -> None:
    tested = engine(
        "- name: it\n"
        '  capture: {project_id: \'"id": "([^"]+)"\'}\n'
        "  reply:\n"
        "    - text: 'made ${project_id}, costs $5 and $${HOME}'\n"
        "    - tool: Bash\n"
        "      input: {command: 'deploy ${project_id}', list: ['${project_id}', 1]}\n"
    )
    reply = tested.choose(RAN).reply
    assert reply is not None
    text, call = reply.blocks
    assert text == TextReply("made p-42, costs $5 and ${HOME}")
    assert isinstance(call, ToolReply)
    assert call.input == {"command": "deploy p-42", "list": ["p-42", 1]}
    assert reply.stop_reason == "tool_use"


def test_an_unknown_value_fails_loudly() -> None:
    tested = engine("- {name: it, reply: [{text: 'hi ${nobody}'}]}")
    with pytest.raises(ApiError, match=r"rule it of test: '\$\{nobody\}' names no captured value"):
        tested.choose(ASKED)


def test_a_capture_that_finds_nothing_fails_loudly() -> None:
    tested = engine("- {name: it, capture: {x: 'id=(.)'}, reply: [{text: a}]}")
    with pytest.raises(ApiError, match="rule it of test: capture x"):
        tested.choose(ASKED)


def test_conversations_keep_their_own_values_and_borrow_those_of_others() -> None:
    tested = engine(
        "- {name: show, when: {last_user_contains: show}, reply: [{text: '${id}'}]}\n"
        "- {name: take, reply: [{text: ok}]}\n",
        head='captures: {id: \'"id": "([^"]+)"\'}',
    )
    for conversation, value in (("c1", "one"), ("c2", "two")):
        tested.choose(replace(RAN, conversation=conversation, tool_text=f'{{"id": "{value}"}}'))
    shown = []
    for conversation in ("c1", "c2", "c3"):
        reply = tested.choose(replace(ASKED, conversation=conversation, user_text="show")).reply
        assert reply is not None
        shown.append(reply.blocks[0])
    assert shown == [TextReply("one"), TextReply("two"), TextReply("two")]


def test_several_tools_get_ids_of_their_own() -> None:
    tested = engine("- {name: it, reply: [{tool: Bash}, {tool: Bash}]}")
    reply = tested.choose(ASKED).reply
    assert reply is not None
    assert len({block.id for block in reply.blocks if isinstance(block, ToolReply)}) == 2
