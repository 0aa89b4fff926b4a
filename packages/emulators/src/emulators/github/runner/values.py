"""How expressions coerce and compare values: what JSON has, numbers as floats."""

import math

Value = object


def truthy(value: Value) -> bool:
    """Tell whether a value counts as true: not false, 0, NaN, '' or null."""
    if isinstance(value, float):
        return value != 0 and not math.isnan(value)
    return value not in (None, False, "", 0) or isinstance(value, list | dict)


def to_number(value: Value) -> float:
    """Coerce as GitHub does; NaN for what is no number."""
    if value is None:
        return 0.0
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str):
        return parse_number(value.strip())
    return math.nan


def to_text(value: Value) -> str:
    """Return the text a value has inside a string."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)
    if isinstance(value, str):
        return value
    return "Array" if isinstance(value, list) else "Object"


def equal(left: Value, right: Value) -> bool:
    """Compare loosely: strings without case, different kinds as numbers."""
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    if isinstance(left, list | dict) or isinstance(right, list | dict):
        return left is right
    if left is None and right is None:
        return True
    return to_number(left) == to_number(right)


def ordered(operator: str, left: Value, right: Value) -> bool:
    """Compare by <, <=, > or >=; false when a side is no number."""
    if isinstance(left, str) and isinstance(right, str):
        below, same = left.lower() < right.lower(), left.lower() == right.lower()
    else:
        a, b = to_number(left), to_number(right)
        if math.isnan(a) or math.isnan(b):
            return False
        below, same = a < b, a == b
    return {"<": below, "<=": below or same, ">": not below and not same, ">=": not below}[operator]


def parse_number(text: str) -> float:
    """Read a number, decimal or 0x…; NaN for anything else, 0 for nothing."""
    if not text:
        return 0.0
    try:
        return float(int(text, 16)) if text.lower().startswith("0x") else float(text)
    except ValueError:
        return math.nan
