"""The expression language of workflows."""

import contextlib
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulators.github.errors import ExpressionError
from emulators.github.runner.contexts import status_functions
from emulators.github.runner.expressions import Scope, condition_tree, evaluate, interpolate, parse, resolve
from emulators.github.runner.functions import FUNCTIONS, hash_files

CONTEXTS: dict[str, object] = {
    "github": {"ref_name": "main", "event": {"inputs": {"dry-run": "true"}, "commits": [{"id": "a"}, {"id": "b"}]}},
    "inputs": {"dry": False, "count": 3.0, "name": "x}}y"},
    "secrets": {"KEY": "s3cret"},
    "needs": {"build": {"result": "success", "outputs": {"v": "1"}}},
}


def scope(*, success: bool = True) -> Scope:
    functions = status_functions(lambda: success, lambda: not success, lambda: False)
    return Scope(CONTEXTS, {**FUNCTIONS, **functions})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("github.ref_name", "main"),
        ("GITHUB.Ref_Name", "main"),
        ("github['ref_name']", "main"),
        ("github.event.inputs.dry-run", "true"),
        ("github.event.commits[1].id", "b"),
        ("join(github.event.commits.*.id, '-')", "a-b"),
        ("github.nothing.at.all", None),
        ("'it''s'", "it's"),
        ("0x10", 16.0),
        ("-1.5e2", -150.0),
        ("null", None),
        ("'A' == 'a'", True),
        ("'1' == 1", True),
        ("true == 1", True),
        ("null == ''", True),
        ("'x' == 1", False),
        ("1 < 2 && 'b' > 'a'", True),
        ("2 >= 2 && 2 <= 2 && 1 != 2", True),
        ("'x' < 1 || 'x' >= 1", False),
        ("inputs.dry || 'fallback'", "fallback"),
        ("inputs.count && 'yes'", "yes"),
        ("!inputs.dry", True),
        ("!(true && false)", True),
        ("true || false && false", True),
        ("contains('Hello World', 'WORLD')", True),
        ("contains(fromJSON('[\"a\", \"b\"]'), 'B')", True),
        ("startsWith('refs/heads/x', 'REFS/')", True),
        ("endsWith('a.yml', '.YML')", True),
        ("format('{0} {{x}} {1}', 'a', 2)", "a {x} 2"),
        ("fromJSON('{\"a\": [1]}').a[0]", 1.0),
        ("toJSON(needs.build.outputs)", '{\n  "v": "1"\n}'),
        ("needs.build.result == 'success' && success()", True),
        ("failure() || cancelled()", False),
        ("always()", True),
    ],
)
def test_an_expression_has_the_value_github_gives_it(text: str, value: object) -> None:
    assert evaluate(text, scope()) == value


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "a b",
            "matrix.x",
            "unknown()",
            "'open",
            "github.",
            "(1",
            "1 ==",
            "github[1",
            "format()",
            "contains('a')",
        ),
        *("&&", "fromJSON('{')", "format('{3}')", '"double"', "a.1"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, scope())


def test_interpolation_turns_values_into_text() -> None:
    text = "${{ inputs.count }}|${{ inputs.dry }}|${{ github.none }}|${{ 1.5 }}|${{ github.event }}|${{ 'x}}y' }}|$5"
    assert interpolate(text, scope()) == "3|false||1.5|Object|x}}y|$5"


def test_an_expression_that_is_not_closed_is_an_error() -> None:
    with pytest.raises(ExpressionError, match="not closed"):
        interpolate("Deploy ${{ inputs.name", scope())


def test_a_whole_expression_keeps_its_type_and_other_values_stay() -> None:
    assert resolve("${{ inputs.dry }}", scope()) is False
    assert resolve("x${{ inputs.dry }}", scope()) == "xfalse"
    assert resolve(5, scope()) == 5


@pytest.mark.parametrize(
    ("condition", "after_success", "after_failure"),
    [
        ("success()", True, False),
        ("github.ref_name == 'main'", True, False),
        ("${{ github.ref_name == 'main' }}", True, False),
        ("always()", True, True),
        ("failure()", False, True),
        ("!cancelled()", True, True),
        ("false", False, False),
        ("github.ref_name == 'main' && failure()", False, True),
    ],
)
def test_a_condition_without_a_status_function_wants_success(
    condition: str, after_success: bool, after_failure: bool
) -> None:
    tree = condition_tree(condition)
    assert bool(tree.evaluate(scope(success=True))) is after_success
    assert bool(tree.evaluate(scope(success=False))) is after_failure


def test_nan_equals_nothing() -> None:
    assert evaluate("fromJSON('\"x\"') == nan", scope()) is False
    assert math.isnan(float(str(evaluate("nan", scope()))))


def test_hash_files_changes_with_the_content_only(tmp_path: Path) -> None:
    function = hash_files(tmp_path)
    assert function(["**/*.lock"]) == ""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.lock").write_text("1")
    first = function(["**/*.lock"])
    assert first == function(["a/*.lock"])
    (tmp_path / "a" / "x.lock").write_text("2")
    assert function(["**/*.lock"]) != first


@given(st.text(alphabet="ab.'()[]!=&|<> *,0x1${}-", max_size=30))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        tree = parse(text)
        assert tree == parse(f" {text} ")
