"""Conditions of definitions: names compared with constants, joined by `and`, `or`, `not`.

They are read as Python reads them and allow a small part of that; nothing is called and nothing is looked up but the
names that the reader is given.
"""

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any

__all__ = ["Condition", "ConditionFault"]

_COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class ConditionFault(ValueError):
    """A text is no condition."""


class Condition:
    """A condition that was read and found good."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        """Read a text in which these names may stand.

        Raises:
            ConditionFault: it is no condition, or has another name.
        """
        self.text = text
        try:
            self._tree = ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError):
            raise ConditionFault(f"{text!r} is no condition") from None
        _check(self._tree, text, names)

    def is_met(self, values: Mapping[str, Any]) -> bool:
        """Check it against values; a name without one is none, which is equal to nothing and not greater or less."""
        return bool(_value(self._tree, values))


def _check(node: ast.expr, text: str, names: Collection[str]) -> None:
    match node:
        case ast.Constant(value=str() | int() | float()):
            return
        case ast.Name(id=name):
            if name not in names:
                raise ConditionFault(f"{text!r} has the name {name}; known are {', '.join(sorted(names))}")
        case ast.BoolOp(values=parts):
            for part in parts:
                _check(part, text, names)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            _check(part, text, names)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARED:
            _check(left, text, names)
            _check(right, text, names)
        case _:
            raise ConditionFault(f"{text!r} has more than names, constants, comparisons, and, or, not")


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return values.get(name)
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, values) for part in parts)
        case ast.UnaryOp(operand=part):
            return not _value(part, values)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compared(_COMPARED[type(op)], _value(left, values), _value(right, values))
    raise AssertionError("`_check` lets nothing else through")


def _compared(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    try:
        return compare(left, right)
    except TypeError:
        return False
