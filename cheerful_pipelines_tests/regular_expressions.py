"""Finds every regular expression of a package by itself and tells those that are not linear on adversarial input.

Found are: patterns in module globals, class attributes, containers, dataclasses and what cached functions without
parameters return (so that patterns from data files are covered), and, by the syntax tree, every `re.xxx("...")` call.
A call whose pattern is made at run time must be in `SAMPLES`, else it is reported as not checked.

Attacks are made from the parsed pattern: each repeat is pumped with characters that it and its neighbours take, alone
and with what stands before it, followed by something that does not match. Time is compared at growing sizes; what
counts is growth (over eightfold for four times the input), never an absolute time. Linear with a large factor passes.
`recheck` and its kind are for JavaScript's syntax and need Java or Node; no Python library in good keeping does it.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import string
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as sre  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any, NamedTuple

from cheerful_pipelines.people.person_store import pattern_of

METHODS = frozenset(("compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn"))
_SPELLINGS = pattern_of("analima@gmail.com")
SAMPLES: Mapping[str, tuple[str, ...]] = {
    "cheerful_pipelines.classification.local.rules.compiled": (),  # the rulebook is found whole, in its cache
    "cheerful_pipelines.google.sheets.keyed_tab.plan_writes": (r"spring\-26 \d+ [a-z_]+",),
    "cheerful_pipelines.people.proof._search_blobs": (_SPELLINGS,),
    "cheerful_pipelines.people.proof._search_sheets": (_SPELLINGS,),
    "cheerful_pipelines.people.mentions.locate": (
        r"\bana[\s,.]+juniperton\b",
        r"\b12\W+elm\W+street\b",
        r"(?<![a-z0-9_.])ana_makes(?![a-z0-9_])",
    ),
    "cheerful_pipelines.local_google.calls.regex": (r"/gmail/v1/users/(?P<user>[^/]+?)/messages/(?P<id>[^/]+?)\Z",),
    "cheerful_pipelines.local_google.multipart.parse_parts": (r"\r?\n--abc",),
}
_PROBE = " \t\n" + "a0_A" + "<>@.,:;-+=/\\\"'()[]{}*#!?&%$|~^`\u00e9" + string.ascii_letters + string.digits
_ATTACKS_PER_REPEAT = 6
_SIZES = (12, 16, 20, 24, 28, 32, 40, 60, 100, 500, 4_000, 16_000)  # small steps, so that explosions are seen early
_TOO_LONG = (0.02,) * 9 + (0.02, 0.08)
"""Seconds at the first sizes beyond which the larger ones would never end; linear patterns take a thousandth."""
_GROWTH = 8.0
_NOISE = 0.004


class Expression(NamedTuple):
    """One pattern, where it stands, and how it is used (`search` where that is not known)."""

    where: str
    pattern: re.Pattern[Any]
    method: str


class NotLinear(NamedTuple):
    """A pattern with the attack that shows it."""

    where: str
    pattern: str
    attack: str
    growth: float


class Found(NamedTuple):
    """Every pattern, and the places whose pattern is not known before run time."""

    expressions: list[Expression]
    not_checked: list[str]


# --- finding ------------------------------------------------------------------------------------------------------


def find_all(package: str, *, without: Iterable[str] = ()) -> Found:
    """Every regular expression of a package, imported whole. `without`: prefixes of module names."""
    left_out = tuple(without)
    names = [item.name for item in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")]
    modules = [
        importlib.import_module(one) for one in [package, *names] if not one.startswith(left_out or ("\0",))
        and not one.endswith("__main__")
    ]  # fmt: skip
    trees = {module: ast.parse(inspect.getsource(module)) for module in modules if _has_source(module)}
    uses = _uses(trees.values())
    found: dict[tuple[str | bytes, int, str], Expression] = {}
    unknown: list[str] = []
    for module, tree in trees.items():
        for name, pattern in _patterns_of(module):
            method = _method(uses.get(name.rsplit(".", 1)[-1], set()))
            found.setdefault((pattern.pattern, pattern.flags, method), Expression(name, pattern, method))
        for where, known, method in _calls(module, tree):
            if known is None:
                unknown.append(where)
            for pattern in known or ():
                found.setdefault((pattern.pattern, pattern.flags, method), Expression(where, pattern, method))
    return Found(list(found.values()), sorted(set(unknown)))


def _has_source(module: ModuleType) -> bool:
    try:
        return bool(inspect.getsource(module).strip())
    except OSError:
        return False


def _patterns_of(module: ModuleType) -> Iterator[tuple[str, re.Pattern[Any]]]:
    seen: set[int] = set()
    for name, value in vars(module).items():
        if isinstance(value, ModuleType):
            continue
        owner = getattr(value, "__module__", module.__name__)
        if inspect.isclass(value) and owner == module.__name__:
            for inner, item in vars(value).items():
                yield from _walk(f"{module.__name__}.{name}.{inner}", item, seen)
        elif hasattr(value, "cache_info") and "re" in vars(module) and _takes_nothing(value):
            yield from _walk(f"{module.__name__}.{name}()", value(), seen)
        elif not inspect.isclass(value) and not callable(value):
            yield from _walk(f"{module.__name__}.{name}", value, seen)


def _takes_nothing(function: Callable[..., object]) -> bool:
    return all(item.default is not item.empty for item in inspect.signature(function).parameters.values())


def _walk(name: str, value: Any, seen: set[int], depth: int = 0) -> Iterator[tuple[str, re.Pattern[Any]]]:
    if isinstance(value, re.Pattern):
        yield name, value
        return
    ours = type(value).__module__.startswith(("cheerful", "builtins", "types", "collections"))
    if depth > 6 or id(value) in seen or not ours or isinstance(value, (str, bytes, int, float)):
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        inner: Iterable[object] = [*value.values(), *value.keys()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner = value
    elif is_dataclass(value) and not isinstance(value, type):
        inner = [getattr(value, item.name) for item in fields(value)]
    else:
        inner = list(getattr(value, "__dict__", {}).values()) if type(value).__module__.startswith("cheerful") else []
    for item in inner:
        yield from _walk(name, item, seen, depth + 1)


def _uses(trees: Iterable[ast.Module]) -> dict[str, set[str]]:
    """Methods that are called on each name, in all modules together."""
    uses: dict[str, set[str]] = defaultdict(set)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, (ast.Name, ast.Attribute)):
                owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
                if node.attr in METHODS:
                    uses[owner].add(node.attr)
    return uses


def _method(used: set[str]) -> str:
    """The method to attack: `match` and `fullmatch` look at one place only; all others look everywhere."""
    if used == {"fullmatch"}:
        return "fullmatch"
    return "match" if used and used <= {"match", "fullmatch"} else "search"


def _calls(module: ModuleType, tree: ast.Module) -> Iterator[tuple[str, list[re.Pattern[Any]] | None, str]]:
    """Calls of the `re` module outside of plain module constants: (place, patterns or None, method)."""
    for function, call in _re_calls(tree):
        where = f"{module.__name__}.{function.name}" if function else module.__name__
        method = call.func.attr if isinstance(call.func, ast.Attribute) else "search"
        scope = dict(vars(module))
        if function is not None:
            _run_assignments(function, scope)
        try:
            flags = [_evaluated(item.value, scope) for item in call.keywords if item.arg == "flags"]
            position = {"sub": 4, "subn": 4, "split": 3, "compile": 1}.get(method, 2)
            flags += [_evaluated(item, scope) for item in call.args[position : position + 1]]
            pattern = _evaluated(call.args[0], scope)
            yield where, [re.compile(pattern, *flags)], "search" if method == "compile" else _method({method})
        except Exception:  # made at run time
            samples = SAMPLES.get(where)
            yield where, None if samples is None else [re.compile(one) for one in samples], _method({method})


def _re_calls(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | None, ast.Call]]:
    def visit(node: ast.AST, function: ast.FunctionDef | None) -> Iterator[tuple[ast.FunctionDef | None, ast.Call]]:
        for child in ast.iter_child_nodes(node):
            inner = child if isinstance(child, ast.FunctionDef) else function
            if (
                isinstance(child, ast.Call)
                and isinstance(child.func, ast.Attribute)
                and isinstance(child.func.value, ast.Name)
                and child.func.value.id == "re"
                and child.func.attr in METHODS
                and child.args
                and (function is not None or child.func.attr != "compile")
            ):
                yield function, child
            yield from visit(child, inner)

    yield from visit(tree, None)


def _run_assignments(function: ast.FunctionDef, scope: dict[str, Any]) -> None:
    """Local names that are made of constants only."""
    for argument in function.args.args:
        scope.pop(argument.arg, None)
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                scope[node.targets[0].id] = _evaluated(node.value, scope)
            except Exception:
                scope.pop(node.targets[0].id, None)


def _evaluated(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    """A constant expression's value: literals, f-strings, sums and names; no calls but those on `re`."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            raise ValueError("made at run time")
    return eval(compile(ast.Expression(node), "pattern", "eval"), dict(scope))  # our own source


# --- attacking ----------------------------------------------------------------------------------------------------


class _Repeat(NamedTuple):
    before: str
    body: Any


def attacks(pattern: re.Pattern[Any]) -> Iterator[tuple[str, str, str]]:
    """(prefix, pump, suffix) of attacks on one pattern, each once."""
    tree = sre.parse(pattern.pattern, pattern.flags & ~(re.UNICODE if isinstance(pattern.pattern, bytes) else 0))
    repeats = list(_repeats(tree, ""))
    takers: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(repeats):
        for char in _members(one.body):
            takers[char].append(number)
    made: dict[tuple[str, str, str], None] = {}
    for one in repeats:
        alike: dict[tuple[int, ...], str] = {}  # of the characters that the same repeats take one is enough
        for char in _members(one.body):
            alike.setdefault(tuple(takers[char]), char)
        pumps = [alike[key] for key in sorted(alike, key=len, reverse=True)][:_ATTACKS_PER_REPEAT]
        pumps = pumps or [_sample(one.body)]
        for pump in (item for item in pumps if item):
            for suffix in ("\x01", "\n\x01", ""):
                made[(one.before, pump, suffix)] = None
            made[("", one.before + pump, "\x01")] = None
            made[("", one.before + pump * 18, "\x01")] = None
    yield from made


def _repeats(nodes: Any, before: str) -> Iterator[_Repeat]:
    """Repeats without a small bound, each with a text that matches what stands before it."""
    for code, value in nodes:
        if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            low, high, body = value
            if high > 100:
                yield _Repeat(before, body)
            yield from _repeats(body, before)
            before += _sample(body) * min(max(low, 1), 20)
            continue
        if code is op.SUBPATTERN:
            yield from _repeats(value[3], before)
        elif code is op.ATOMIC_GROUP:
            yield from _repeats(value, before)
        elif code is op.BRANCH:
            for branch in value[1]:
                yield from _repeats(branch, before)
        elif code is op.GROUPREF_EXISTS:
            for branch in value[1:]:
                yield from _repeats(branch or [], before)
        elif code in (op.ASSERT, op.ASSERT_NOT):
            yield from _repeats(value[1], before)
        before += _sample([(code, value)])


def _sample(nodes: Any) -> str:
    """A text that the nodes match; repeats at least once."""
    parts: list[str] = []
    for code, value in nodes:
        if code is op.LITERAL:
            parts.append(chr(value))
        elif code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            parts.append(_sample(value[2]) * min(max(value[0], 1), 20))
        elif code is op.SUBPATTERN:
            parts.append(_sample(value[3]))
        elif code is op.ATOMIC_GROUP:
            parts.append(_sample(value))
        elif code is op.BRANCH:
            parts.append(_sample(value[1][0]))
        elif code in (op.IN, op.ANY, op.NOT_LITERAL):
            parts.append(next((char for char in "a0 <@.-:" + _PROBE if _takes([(code, value)], char)), ""))
    return "".join(parts)


def _members(body: Any) -> list[str]:
    return [char for char in dict.fromkeys(_PROBE) if _takes(body, char)]


def _takes(body: Any, char: str) -> bool:
    """Whether the nodes match exactly this character."""
    items = list(body)
    if len(items) != 1:
        return False
    code, value = items[0]
    if code is op.LITERAL:
        return chr(value) == char
    if code is op.NOT_LITERAL:
        return chr(value) != char
    if code is op.ANY:
        return char != "\n"
    if code is op.IN:
        return _in_set(value, char)
    if code is op.SUBPATTERN:
        return _takes(value[3], char)
    if code is op.BRANCH:
        return any(_takes(branch, char) for branch in value[1])
    if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        return bool(value[0] <= 1 <= value[1]) and _takes(value[2], char)
    return False


def _in_set(items: Any, char: str) -> bool:
    negated = any(code is op.NEGATE for code, _ in items)
    return negated != any(_in_item(code, value, char) for code, value in items)


def _in_item(code: Any, value: Any, char: str) -> bool:
    if code is op.LITERAL:
        return chr(value) == char
    if code is op.RANGE:
        return bool(value[0] <= ord(char) <= value[1])
    if code is op.CATEGORY:
        name = str(value).lower()
        kind = "d" if "digit" in name else "s" if "space" in name else "w"
        return (re.fullmatch(rf"\{kind}", char) is not None) != ("not" in name)
    return False


# --- measuring ----------------------------------------------------------------------------------------------------


def find_attack(expression: Expression) -> NotLinear | None:
    """The first attack whose time grows faster than its size; None for a linear pattern."""
    for prefix, pump, suffix in attacks(expression.pattern):
        growth = _growth(expression, prefix, pump, suffix)
        if growth is not None and all((_growth(expression, prefix, pump, suffix) or 0) > _GROWTH for _ in range(2)):
            return NotLinear(
                expression.where, str(expression.pattern.pattern)[:160], f"{prefix[-40:]!r} {pump[:40]!r}", growth
            )
    return None


def _growth(expression: Expression, prefix: str, pump: str, suffix: str) -> float | None:
    """How many times longer four times the input takes; None for less than what counts, infinite for explosions."""
    took = []
    for position, size in enumerate(_SIZES):
        took.append(_seconds(expression, prefix + (pump * (size // len(pump) + 1))[:size] + suffix))
        if position < len(_TOO_LONG) and took[-1] > _TOO_LONG[position]:
            return float("inf")
    if took[-1] < _NOISE or took[-1] / max(took[-2], 1e-9) <= _GROWTH:
        return None
    return took[-1] / max(took[-2], 1e-9)


def _seconds(expression: Expression, text: str) -> float:
    pattern, method = expression.pattern, expression.method
    subject: Any = text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text
    began = time.process_time()
    if method == "fullmatch":
        pattern.fullmatch(subject)
    elif method == "match":
        pattern.match(subject)
    else:
        for _ in pattern.finditer(subject):
            pass
    return time.process_time() - began
