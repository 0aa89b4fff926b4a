"""The expression language of workflows: reads `a.b == 'c' && f(x)` into a tree and evaluates it.

Values are what JSON has; numbers are floats. Unknown names and functions are errors, unknown properties are null,
as on GitHub.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from emulators.github.errors import ExpressionError
from emulators.github.runner.values import Value, equal, ordered, parse_number, to_number, to_text, truthy

Function = Callable[[Sequence[Value]], Value]

TEMPLATE = re.compile(r"\$\{\{((?:[^'}]|'(?:[^']|'')*'|\}(?!\}))*)\}\}")
TOKEN = re.compile(
    r"\s*(?:(?P<number>-?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))"
    r"|(?P<string>'(?:[^']|'')*')"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)"
    r"|(?P<op>&&|\|\||==|!=|<=|>=|[!<>()\[\].,*]))"
)
CONSTANTS: Mapping[str, Value] = {"true": True, "false": False, "null": None, "nan": math.nan, "infinity": math.inf}
STATUS_FUNCTIONS = frozenset({"success", "failure", "always", "cancelled"})


@dataclass(frozen=True)
class Scope:
    """What an expression may use: contexts by name and functions by lower-case name."""

    contexts: Mapping[str, Value]
    functions: Mapping[str, Function]


@dataclass(frozen=True)
class Literal:
    """A constant."""

    value: Value

    def evaluate(self, scope: Scope) -> Value:
        """Return the constant."""
        return self.value


@dataclass(frozen=True)
class Context:
    """A top-level name such as `github`."""

    name: str

    def evaluate(self, scope: Scope) -> Value:
        """Return the named context, or raise ExpressionError when this place has no such name."""
        if self.name.lower() not in scope.contexts:
            raise ExpressionError(f"Unrecognized named-value: '{self.name}'")
        return scope.contexts[self.name.lower()]


@dataclass(frozen=True)
class Index:
    """`base.key`, `base[key]` or, with key None, `base.*`."""

    base: "Node"
    key: "Node | None"

    def evaluate(self, scope: Scope) -> Value:
        """Return the property or element, null when there is none."""
        base = self.base.evaluate(scope)
        if self.key is None:
            return _Star(list(base.values()) if isinstance(base, Mapping) else list(_elements(base)))
        key = self.key.evaluate(scope)
        if isinstance(base, _Star):
            return _Star([found for item in base if (found := _property(item, key)) is not None])
        return _property(base, key)


@dataclass(frozen=True)
class Call:
    """A function call."""

    name: str
    arguments: tuple["Node", ...]

    def evaluate(self, scope: Scope) -> Value:
        """Return what the function returns, or raise ExpressionError when it is unknown."""
        function = scope.functions.get(self.name.lower())
        if function is None:
            raise ExpressionError(f"Unrecognized function: '{self.name}'")
        return function([argument.evaluate(scope) for argument in self.arguments])


@dataclass(frozen=True)
class Not:
    """Negation."""

    operand: "Node"

    def evaluate(self, scope: Scope) -> Value:
        """Return whether the operand is falsy."""
        return not truthy(self.operand.evaluate(scope))


@dataclass(frozen=True)
class Binary:
    """Two operands; && and || return one of them, the others a boolean."""

    operator: str
    left: "Node"
    right: "Node"

    def evaluate(self, scope: Scope) -> Value:
        """Return the result; && and || do not look at the right side when the left decides."""
        left = self.left.evaluate(scope)
        if self.operator == "&&":
            return self.right.evaluate(scope) if truthy(left) else left
        if self.operator == "||":
            return left if truthy(left) else self.right.evaluate(scope)
        right = self.right.evaluate(scope)
        if self.operator in ("==", "!="):
            return equal(left, right) == (self.operator == "==")
        return ordered(self.operator, left, right)


Node = Literal | Context | Index | Call | Not | Binary


class _Star(list[Value]):
    """The result of `.*`: further properties apply to each element."""


def parse(text: str) -> Node:
    """Read one expression; raises ExpressionError."""
    return _Parser(text).whole()


def evaluate(text: str, scope: Scope) -> Value:
    """Read and evaluate one expression."""
    return parse(text).evaluate(scope)


def interpolate(text: str, scope: Scope) -> str:
    """Replace every ${{ … }} of a string by the text of its value."""
    check_templates(text)
    return TEMPLATE.sub(lambda match: to_text(evaluate(match.group(1), scope)), text)


def resolve(value: Value, scope: Scope) -> Value:
    """Evaluate a YAML value: a string that is one ${{ … }} keeps the type of its result."""
    if not isinstance(value, str):
        return value
    whole = TEMPLATE.fullmatch(value.strip())
    return evaluate(whole.group(1), scope) if whole else interpolate(value, scope)


def condition_tree(text: str) -> Node:
    """Read an `if:`, with or without ${{ }}; without a status function it means success() && (…)."""
    whole = TEMPLATE.fullmatch(text.strip())
    tree = parse(whole.group(1) if whole else text)
    if _calls_status(tree):
        return tree
    return Binary("&&", Call("success", ()), tree)


def check_templates(text: str) -> None:
    """Raise ExpressionError when a ${{ is not closed or its expression cannot be read."""
    if "${{" in TEMPLATE.sub("", text):
        raise ExpressionError(f"The expression is not closed: {text!r}")
    for match in TEMPLATE.finditer(text):
        parse(match.group(1))


def _elements(value: Value) -> Sequence[Value]:
    return value if isinstance(value, list) else []


def _property(base: Value, key: Value) -> Value:
    if isinstance(base, Mapping):
        wanted = to_text(key)
        if wanted in base:
            return base[wanted]
        return next((item for name, item in base.items() if str(name).lower() == wanted.lower()), None)
    if isinstance(base, list):
        position = to_number(key)
        if math.isfinite(position) and 0 <= position < len(base):
            return base[int(position)]
    return None


def _calls_status(node: Node) -> bool:
    match node:
        case Call(name, arguments):
            return name.lower() in STATUS_FUNCTIONS or any(_calls_status(argument) for argument in arguments)
        case Not(operand):
            return _calls_status(operand)
        case Binary(_, left, right):
            return _calls_status(left) or _calls_status(right)
        case Index(base, key):
            return _calls_status(base) or (key is not None and _calls_status(key))
        case _:
            return False


class _Parser:
    """Recursive descent, one method per level of precedence."""

    LEVELS = (("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="))

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._scan(text)
        self._position = 0

    def whole(self) -> Node:
        node = self._level(0)
        if self._peek() is not None:
            raise self._error(f"Unexpected symbol: '{self._peek()}'")
        return node

    def _scan(self, text: str) -> list[str]:
        tokens, position = [], 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = TOKEN.match(stripped, position)
            if match is None:
                raise self._error(f"Unexpected symbol: '{stripped[position:].strip()[:20]}'")
            tokens.append(match.group().strip())
            position = match.end()
        return tokens

    def _error(self, message: str) -> ExpressionError:
        return ExpressionError(f"{message}. Located within expression: {self._text.strip()}")

    def _peek(self) -> str | None:
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def _next(self) -> str:
        token = self._peek()
        if token is None:
            raise self._error("Unexpected end of expression")
        self._position += 1
        return token

    def _expect(self, wanted: str) -> None:
        token = self._next()
        if token != wanted:
            raise self._error(f"Unexpected symbol: '{token}', expected '{wanted}'")

    def _level(self, level: int) -> Node:
        if level == len(self.LEVELS):
            return self._unary()
        left = self._level(level + 1)
        while self._peek() in self.LEVELS[level]:
            left = Binary(self._next(), left, self._level(level + 1))
        return left

    def _unary(self) -> Node:
        if self._peek() == "!":
            self._next()
            return Not(self._unary())
        return self._postfix()

    def _postfix(self) -> Node:
        node = self._primary()
        while self._peek() in (".", "["):
            if self._next() == ".":
                key = self._next()
                node = Index(node, None if key == "*" else Literal(self._identifier(key)))
            elif self._peek() == "*":
                self._next()
                self._expect("]")
                node = Index(node, None)
            else:
                node = Index(node, self._level(0))
                self._expect("]")
        return node

    def _identifier(self, token: str) -> str:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", token):
            raise self._error(f"Unexpected symbol: '{token}'")
        return token

    def _primary(self) -> Node:
        symbol = self._next()
        if symbol == "(":
            node = self._level(0)
            self._expect(")")
            return node
        if symbol.startswith("'"):
            return Literal(symbol[1:-1].replace("''", "'"))
        if symbol[0].isdigit() or symbol[0] == "-":
            return Literal(parse_number(symbol))
        name = self._identifier(symbol)
        if self._peek() == "(":
            return Call(name, self._arguments())
        if name.lower() in CONSTANTS:
            return Literal(CONSTANTS[name.lower()])
        return Context(name)

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        arguments: list[Node] = []
        while self._peek() != ")":
            if arguments:
                self._expect(",")
            arguments.append(self._level(0))
        self._expect(")")
        return tuple(arguments)
