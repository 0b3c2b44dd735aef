"""What an exercise needs of its chapter, when it leaves it.

Solutions use names that a chapter made before: a network that was trained, a picture, a list of
levels. `preparation` finds the cells that made them, and those that such cells need in turn.
Imports are gathered apart, because every notebook opens with them.
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from collections.abc import Iterable

_CODE_SPAN = re.compile(r"```python\n(.*?)```|`([^`\n]+)`", re.S)
_WORD = re.compile(r"(?<![.\w])[^\W\d]\w*(?!\s*=)")
# Calls that stand alone and change nothing: they show something, or make it to be shown.
_HARMLESS = re.compile(
    r"print|display|show|draw|overlay|plot|plt|figure|ax[ie]s|layer_table|check|[A-Z]"
)
_SEEDS = re.compile(r"(torch\.manual_seed|seed_everything)\(")
IMPORTS = (ast.Import, ast.ImportFrom)


def imports(codes: Iterable[str], names: set[str]) -> list[str]:
    """Return the import statements of some code that bring `names`, in alphabetical order.

    Two imports from one module become one.

    Raises:
        ValueError: one name comes from two places.
    """
    plain: set[str] = set()
    parts: dict[str, set[str]] = {}
    origin: dict[str, str] = {}
    for node in (node for code in codes for node in ast.parse(code).body):
        for alias in node.names if isinstance(node, IMPORTS) else []:
            name = (alias.asname or alias.name).partition(".")[0]
            if name not in names:
                continue
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            place = f"{module}.{alias.name}"
            if origin.setdefault(name, place) != place:
                raise ValueError(
                    f"`{name}` is {origin[name]} in one chapter and {place} in another. Put "
                    "their exercises into two assignments."
                )
            if module:
                parts.setdefault(module, set()).add(_alias(alias))
            else:
                plain.add(f"import {_alias(alias)}")
    ours_last = sorted(parts, key=lambda module: (module.startswith("backbone"), module))
    return sorted(plain) + [_from(module, parts[module]) for module in ours_last]


def _alias(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def _from(module: str, names: set[str]) -> str:
    line = f"from {module} import {', '.join(sorted(names))}"
    if len(line) <= 100:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in sorted(names)) + ")"


def mentioned(text: str) -> set[str]:
    """Return the names that stand in code spans and Python blocks of a Markdown text."""
    names: set[str] = set()
    for groups in _CODE_SPAN.findall(text):
        code = "".join(groups)
        try:
            names |= _read(_table(ast.parse(code)))
        except SyntaxError:  # `{value: how many}` is for the eye
            names |= {word for word in _WORD.findall(code) if len(word) > 1}
    return names


def free(code: str) -> set[str]:
    """Return the names that a piece of code reads and that something before it must have made."""
    return _free(ast.parse(code).body, set(dir(builtins)))


def _free(body: list[ast.stmt], bound: set[str]) -> set[str]:
    names: set[str] = set()
    bound = set(bound)
    for node in body:
        heads, targets, inner = _parts(node)
        if inner:
            bound_there = bound | {n for target in targets for n in _names(target)}
            for head in heads:
                names |= _read(_table(head)) - bound
            names |= _free(inner, bound_there)
        else:
            names |= _read(_table(node)) - bound
            if isinstance(node, ast.AugAssign):  # `names += …` reads what it binds
                names |= _names(node.target) - bound
        bound |= _made(node)
    return names


def _parts(node: ast.stmt) -> tuple[list[ast.expr], list[ast.expr], list[ast.stmt]]:
    """Return what a loop, `with`, `if` or `try` reads first, binds first, and then runs."""
    if isinstance(node, ast.For):
        return [node.iter], [node.target], node.body + node.orelse
    if isinstance(node, ast.With):
        targets = [item.optional_vars for item in node.items if item.optional_vars]
        return [item.context_expr for item in node.items], targets, node.body
    if isinstance(node, ast.If | ast.While):
        return [node.test], [], node.body + node.orelse
    if isinstance(node, ast.Try):
        caught = [ast.Name(h.name, ast.Store()) for h in node.handlers if h.name]
        handled = [inner for handler in node.handlers for inner in handler.body]
        kinds = [handler.type for handler in node.handlers if handler.type]
        return kinds, caught, [*node.body, *handled, *node.orelse, *node.finalbody]
    return [], [], []


def _names(target: ast.expr) -> set[str]:
    """Return every name in an expression."""
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def _table(node: ast.AST) -> symtable.SymbolTable:
    return symtable.symtable(ast.unparse(node), "code", "exec")


def _read(table: symtable.SymbolTable) -> set[str]:
    """Return the global names that a scope and the scopes in it read."""
    outermost = table.get_type() == "module"
    names = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (outermost or symbol.is_global())
    }
    return names.union(*map(_read, table.get_children()))


def made(code: str) -> set[str]:
    """Return the names that a piece of code binds."""
    return set().union(*map(_made, ast.parse(code).body))


def _made(node: ast.stmt) -> set[str]:
    """Return the names that a statement binds at the top level."""
    symbols = _table(node).get_symbols()
    return {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}


def _changed(node: ast.stmt) -> set[str]:
    """Return the names whose objects a statement may change: `net.fc = …`, `net.eval()`.

    A call whose result nobody keeps was made for its effect, unless it shows something; `fit`
    is also called for its result.
    """
    places: list[ast.expr] = []
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign | ast.AugAssign):
            targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
            places += [t for t in targets if isinstance(t, ast.Attribute | ast.Subscript)]
        if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Call):
            call = inner.value
            if not _HARMLESS.match(ast.unparse(call.func)):
                places += call.args[:1]
                places += [call.func.value] if isinstance(call.func, ast.Attribute) else []
        if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "fit":
            places += inner.args[:1]
    names = {name for place in places for name in _names(place)}
    for inner in ast.walk(node):  # `for net in nets: fit(net, …)` changes what is in nets
        if isinstance(inner, ast.For | ast.comprehension) and names & _names(inner.target):
            names |= _names(inner.iter)
    return names


def preparation(codes: list[str], names: set[str]) -> list[str]:
    """Return those statements of some cells that make `names`, with all that they need.

    Args:
        codes: of the code cells before the exercise, in order, without setup and answers.
        names: what the exercise mentions; words that no cell makes are passed over.

    Returns:
        The code of the cells of which something is needed, in order, reduced to that.
    """
    imported = {name for code in codes for name in _imported(code)}
    late: set[str] = set()  # what functions read when they are called, after all the cells
    while True:
        chosen, functions = _slice(codes, (names | late) - imported, imported)
        if functions <= late:
            return chosen
        late |= functions


def _slice(codes: list[str], needed: set[str], imported: set[str]) -> tuple[list[str], set[str]]:
    """Return the statements that make some names, and what the functions among them read."""
    chosen: list[str] = []
    functions: set[str] = set()
    for code in reversed(codes):
        kept: list[str] = []
        for node, text in reversed(_statements(code)):
            makes = _made(node)
            draws = bool(kept) and _SEEDS.match(text.lstrip())  # of what follows in this cell
            if isinstance(node, IMPORTS) or not (draws or needed & (makes | _changed(node))):
                continue
            kept.append(text)
            reads = free(ast.unparse(node)) - imported
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                functions |= reads
            needed = (needed - (set() if isinstance(node, ast.If) else makes)) | reads
        if kept:
            chosen.append("".join(reversed(kept)).strip("\n"))
    return chosen[::-1], functions


def _imported(code: str) -> set[str]:
    nodes = [node for node in ast.parse(code).body if isinstance(node, IMPORTS)]
    return {alias.asname or alias.name for node in nodes for alias in node.names}


def _statements(code: str) -> list[tuple[ast.stmt, str]]:
    """Return each statement of a cell with its text, comments and blank lines above included."""
    lines, start, found = code.splitlines(keepends=True), 0, []
    for node in ast.parse(code).body:
        text = "".join(lines[start : node.end_lineno])
        found.append((node, text if text.endswith("\n") else text + "\n"))
        start = node.end_lineno
    return found
