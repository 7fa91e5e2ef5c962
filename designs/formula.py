"""Arithmetic on named figures: `payments_per_day * peak_over_mean / seconds_per_day`.

A formula is text, so that it can be printed, compared, sent to a page and computed again with other figures.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping

_BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_FUNCTIONS: Mapping[str, Callable[..., float]] = {"ceil": math.ceil, "max": max, "min": min, "sqrt": math.sqrt}


def names(formula: str) -> tuple[str, ...]:
    """The figures that a formula is computed from, each once, in order. Raises SyntaxError."""
    nodes = [node for node in ast.walk(ast.parse(formula, mode="eval")) if isinstance(node, ast.Name)]
    nodes.sort(key=lambda node: (node.lineno, node.col_offset))
    return tuple(dict.fromkeys(node.id for node in nodes if node.id not in _FUNCTIONS))


def evaluate(formula: str, figures: Mapping[str, float]) -> float:
    """The formula's value. Raises KeyError on an unknown figure, ValueError on anything but arithmetic."""
    return _value(ast.parse(formula, mode="eval").body, figures)


def _value(node: ast.expr, figures: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return figures[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, figures)
        case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _BINARY:
            return _BINARY[type(operation)](_value(left, figures), _value(right, figures))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return float(_FUNCTIONS[name](*(_value(argument, figures) for argument in arguments)))
    raise ValueError(f"{ast.unparse(node)} is not arithmetic on named figures")
