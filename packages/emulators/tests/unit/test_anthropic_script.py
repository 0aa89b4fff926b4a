"""The script language refuses what it cannot use and says where."""

from pathlib import Path

import pytest

from emulators.anthropic.errors import ScriptError
from emulators.anthropic.script import Script, Usage, parse_script

NOWHERE = Path("/nonexistent")


def parsed(rules: str) -> Script:
    return parse_script(f"name: test\nrules:\n{rules}", origin="test.yaml", folder=NOWHERE)


def test_a_script_keeps_its_rules_in_order() -> None:
    script = parsed("- {name: one, reply: [{text: a}]}\n- {name: two, reply: [{tool: Bash, input: {command: ls}}]}")
    assert [rule.name for rule in script.rules] == ["one", "two"]
    assert script.rules[1].reply[0].input == {"command": "ls"}


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("- {name: one, when: {stage: dance}, reply: [{text: a}]}", ["rule 1 (one)", "when.stage"]),
        ("- {name: one, when: {last_user_contain: x}, reply: [{text: a}]}", ["rule 1 (one)", "when.last_user_contain"]),
        ("- {name: one, when: {last_user_matches: '('}, reply: [{text: a}]}", ["rule 1 (one)", "last_user_matches"]),
        ("- {reply: [{text: a}]}", ["rule 1 (without a name)", "name"]),
        ("- {name: one}", ["rule 1 (one)", "needs a reply, an error or garbage"]),
        ("- {name: one, reply: [{text: a, tool: Bash}]}", ["rule 1 (one)", "reply.0", "exactly one of"]),
        ("- {name: one, capture: {id: 'x'}, reply: [{text: a}]}", ["rule 1 (one)", "capture", "one group"]),
        ("- {name: one, cut_after_events: 2, garbage: true}", ["rule 1 (one)", "cut_after_events"]),
        ("- {name: one, reply: [{text: a}]}\n- {name: one, reply: [{text: b}]}", ["same name: one"]),
        ("  {name", ["not YAML"]),
    ],
)
def test_an_unusable_script_names_the_rule_and_the_field(rules: str, words: list[str]) -> None:
    with pytest.raises(ScriptError) as caught:
        parsed(rules)
    for word in ["test.yaml", *words]:
        assert word in str(caught.value)


def test_a_script_that_is_a_list_is_refused() -> None:
    with pytest.raises(ScriptError, match="a mapping with name and rules, not list"):
        parse_script("- one", origin="x", folder=NOWHERE)


def test_a_missing_file_is_told_with_its_rule() -> None:
    with pytest.raises(ScriptError, match=r"rule one: reply: .*nonexistent/app\.py"):
        parsed("- {name: one, reply: [{tool: Write, input: {file_path: a, content_from: app.py}}]}")


def test_a_rule_overrides_only_the_tokens_it_names() -> None:
    default = Usage(input_tokens=1200, output_tokens=300)
    assert default.overridden_by(Usage(output_tokens=5)) == Usage(input_tokens=1200, output_tokens=5)
    assert default.overridden_by(None) == default
