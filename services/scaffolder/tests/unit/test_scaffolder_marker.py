"""The marker file says whose repository it is."""

from __future__ import annotations

import pytest
import yaml

from scaffolder.marker import Marker, project_id_of


def test_a_marker_is_yaml_and_read_back() -> None:
    text = Marker("a1b2", "birds", ("backend", "telegram"), 'we"ird: one', None).text()
    assert yaml.safe_load(text) == {
        "project_id": "a1b2",
        "name": "birds",
        "modules": ["backend", "telegram"],
        "template": 'we"ird: one',
        "template_ref": None,
    }
    assert project_id_of(text) == "a1b2"


@pytest.mark.parametrize("text", [None, "", "project: x", "project_id: [a]\n", "# project_id: a"])
def test_anything_else_names_no_project(text: str | None) -> None:
    assert project_id_of(text) is None
