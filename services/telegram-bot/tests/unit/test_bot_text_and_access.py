"""Cutting texts and deciding who may talk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telegram_bot.access import AccessList
from telegram_bot.errors import BotError
from telegram_bot.text import shorten, split, utf16_length


@given(st.text(max_size=400))
def test_no_part_is_longer_than_the_limit_and_no_word_is_lost(text: str) -> None:
    parts = split(text, limit=40)
    assert all(utf16_length(part) <= 40 for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_an_emoji_counts_twice() -> None:
    assert utf16_length("a🎉") == 3


def test_a_part_ends_at_a_line_when_one_is_near() -> None:
    assert split("first line here\nsecond line", limit=20) == ["first line here", "second line"]


def test_shorten_marks_what_it_cut() -> None:
    assert shorten("one two  three", 8) == "one two…"


def test_administrators_are_admitted_too() -> None:
    access = AccessList.parse("1, 2", "3")
    assert [access.admits(number) for number in (1, 3, 4)] == [True, True, False]
    assert access.is_admin(3)
    assert not access.is_admin(1)


def test_an_empty_list_admits_nobody() -> None:
    assert not AccessList.parse("", "").admits(0)


def test_an_id_that_is_no_number_names_the_setting() -> None:
    with pytest.raises(BotError, match="TELEGRAM_ALLOWED_USERS"):
        AccessList.parse("@ada", "")
