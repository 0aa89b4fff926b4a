"""Reading `.env.example`."""

from __future__ import annotations

import pytest

from agent_graphs.deploy.environment import Origin, Variable, read_variables


@pytest.mark.parametrize(
    ("line", "origin"),
    [
        ("PORT=", Origin.DERIVED),
        ("APP_URL=", Origin.DERIVED),
        ("LOG_LEVEL=info", Origin.LITERAL),
        ('GREETING="hello # world"', Origin.LITERAL),
        ("SECRET_KEY=", Origin.GENERATED),
        ("DB_PASSWORD=changeme", Origin.GENERATED),
        ("STRIPE_API_KEY=", Origin.USER),
        ("OAUTH_CLIENT_SECRET=", Origin.USER),
        ("TELEGRAM_BOT_TOKEN=<ask @BotFather>", Origin.USER),
        ("SESSION_SECRET= # user: shared with the partner", Origin.USER),
        ("NAME= # generated", Origin.GENERATED),
    ],
)
def test_a_variable_without_a_comment_above_is_classified_by_name_and_value(line: str, origin: Origin) -> None:
    (variable,) = read_variables(line)
    assert variable.origin is origin


def test_the_comment_directly_above_decides() -> None:
    text = "# user: yours\nPORT=\n\nHOST=\n# literal: empty means none\nAPI_URL=\n"
    assert [variable.origin for variable in read_variables(text)] == [Origin.USER, Origin.DERIVED, Origin.LITERAL]


def test_values_lose_quotes_and_comments() -> None:
    text = "A=1 # one\nB='two words'\nexport C=3\nD=a#b\n"
    assert [(variable.name, variable.value) for variable in read_variables(text)] == [
        ("A", "1"),
        ("B", "two words"),
        ("C", "3"),
        ("D", "a#b"),
    ]


def test_names_that_cannot_be_secrets_or_are_the_platforms_own_are_left_out() -> None:
    assert read_variables("GITHUB_TOKEN=x\nlower=1\nDEPLOY_TOKEN=\nDEPLOY_URL=\nnot a line\n=x\n") == []


def test_the_last_line_of_a_name_wins() -> None:
    assert read_variables("A=1\nA=2\n") == [Variable("A", Origin.LITERAL, "2")]


def test_a_variable_survives_the_checkpoint() -> None:
    variable = Variable("SITE_URL", Origin.DERIVED)
    assert Variable.load(variable.dump()) == variable
    assert variable.is_address
    assert not Variable("PORT", Origin.DERIVED).is_address
