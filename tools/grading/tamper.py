"""Notice what a notebook changed in Python, PyTorch or the checks, and undo it.

A seal remembers which object every name stood for before the student's code ran. A replaced
function is put back before anything is judged, and the table of grades says so.
"""

from __future__ import annotations

import _thread
import builtins
import gc
import signal
import sys
import types
from contextlib import suppress
from typing import Any

import torch

ROOMS = ("backbone", "torch.nn", "torch.autograd", "json", "IPython.core")
MODULES = {
    "builtins", "math", "random", "copy", "operator", "functools", "itertools", "collections",
    "torch", "torch.functional", "torch._tensor", "torch.random", "torch.overrides", "numpy",
    "socket", "os", "sys", "time", "ast", "types", "dataclasses", "html", "copyreg",
}  # fmt: skip
# Rooms whose dictionaries and lists are compared as well: tables of checks, global hooks.
TABLES = ("backbone.exercises", "torch.nn.modules.module")
PASSING = {  # which Python or PyTorch itself sets in passing
    "__annotations__", "__doc__", "__warningregistry__", "__signature__", "__abstractmethods__",
    "_abc_impl", "__static_attributes__", "__firstlineno__", "__dataclass_fields__", "__spec__",
    "last_type", "last_value", "last_traceback", "last_exc", "ps1", "ps2", "__slotnames__",
    "stdout", "stderr", "stdin", "path_importer_cache", "displayhook", "excepthook",
}  # fmt: skip
_GONE = object()


def _watched(name: str) -> bool:
    return name in MODULES or any(name == r or name.startswith(f"{r}.") for r in ROOMS)


class Seal:
    """What the names of the watched modules stand for now."""

    def __init__(self) -> None:
        modules = {n: m for n, m in list(sys.modules.items()) if m is not None and _watched(n)}
        self._registry = dict(modules)
        self._spaces: list[tuple[str, Any, dict[str, Any]]] = [
            (name, module, dict(vars(module))) for name, module in modules.items()
        ]
        classes, functions = {}, {}
        for name, module in modules.items():
            for value in list(vars(module).values()):
                if isinstance(value, type) and _watched(getattr(value, "__module__", "") or ""):
                    if value.__flags__ & (1 << 9) and not value.__flags__ & (1 << 8):  # can change
                        classes[value] = None
                elif isinstance(value, types.FunctionType):
                    functions[value] = None
            if name.startswith(TABLES):
                self._tables_of(name, module)
        for kind in classes:
            functions |= {
                getattr(f, "__func__", f): None
                for f in vars(kind).values()
                if isinstance(getattr(f, "__func__", f), types.FunctionType)
            }
            self._spaces.append((f"{kind.__module__}.{kind.__qualname__}", kind, dict(vars(kind))))
        self._functions = [(f, f.__code__, f.__defaults__, f.__kwdefaults__) for f in functions]
        self._threads = _thread._count()
        self._dtype = torch.get_default_dtype()

    _tables: list[tuple[str, Any, Any]]

    def _tables_of(self, name: str, module: types.ModuleType) -> None:
        self.__dict__.setdefault("_tables", [])
        for key, value in vars(module).items():
            if isinstance(value, dict | list | set) and not key.startswith("__"):
                self._tables.append((f"{name}.{key}", value, value.copy()))

    def mend(self) -> list[str]:
        """Put everything back as it was.

        Returns:
            What had been changed, in words; empty if nothing.
        """
        found: dict[str, None] = {}
        # Python's own functions first: everything below uses them.
        space, saved = builtins.__dict__, self._spaces_of_builtins()
        for key, value in saved.items():
            if key not in space or space[key] is not value:
                if key not in PASSING:
                    found[f"builtins.{key}"] = None
                space[key] = value
        for name, module in self._registry.items():
            if sys.modules.get(name) is not module:
                found[name] = None
                sys.modules[name] = module
        for name, owner, before in self._spaces:
            self._mend_names(name, owner, before, found)
        for function, code, defaults, keywords in self._functions:
            if function.__code__ is not code:
                found[f"{function.__module__}.{function.__qualname__}"] = None
                function.__code__ = code
            if function.__defaults__ is not defaults or function.__kwdefaults__ is not keywords:
                found[f"{function.__module__}.{function.__qualname__}"] = None
                function.__defaults__, function.__kwdefaults__ = defaults, keywords
        for name, table, before in self.__dict__.get("_tables", []):
            if not _alike(table, before):
                found[name] = None
                table.clear()
                table.extend(before) if isinstance(table, list) else table.update(before)
        found |= self._quiet()
        return list(found)

    def _spaces_of_builtins(self) -> dict[str, Any]:
        for name, _, before in self._spaces:
            if name == "builtins":
                return before
        return {}

    def _mend_names(
        self,
        name: str,
        owner: Any,  # noqa: ANN401
        before: dict[str, Any],
        found: dict[str, None],
    ) -> None:
        now = vars(owner)
        for key, value in before.items():
            if now.get(key, _GONE) is not value and key not in PASSING:
                found[f"{name}.{key}"] = None
                _set(owner, key, value)
        if isinstance(owner, type) or name.startswith("backbone"):
            added = [key for key in now if key not in before and key not in PASSING]
        else:  # modules grow by what is imported from them; what hides a builtin is no import
            added = [key for key in now if key not in before and key in builtins.__dict__]
        for key in added:
            if isinstance(now[key], types.ModuleType) or (key == "_" and name == "builtins"):
                continue
            found[f"{name}.{key}"] = None
            with suppress(AttributeError, TypeError):
                delattr(owner, key)

    def _quiet(self) -> dict[str, None]:
        """Stop what would run while the answer is judged."""
        found: dict[str, None] = {}
        if sys.gettrace() is not None or sys.getprofile() is not None:
            found["sys.settrace"] = None
        sys.settrace(None)
        sys.setprofile(None)
        if hasattr(signal, "setitimer"):
            if signal.setitimer(signal.ITIMER_REAL, 0)[0] > 0:
                found["signal.setitimer"] = None
            for timer in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
                signal.setitimer(timer, 0)
        if gc.callbacks:
            found["gc.callbacks"] = None
            gc.callbacks.clear()
        if _thread._count() > self._threads:
            found["a thread that runs on"] = None
        depth = getattr(torch._C, "_len_torch_function_stack", lambda: 0)
        while depth() > 0:
            found["every PyTorch function (a mode)"] = None
            torch._C._pop_torch_function_stack()
        torch.set_grad_enabled(True)
        torch.set_default_dtype(self._dtype)
        return found


def _alike(table: Any, before: Any) -> bool:  # noqa: ANN401
    if len(table) != len(before):
        return False
    if isinstance(table, dict):
        return all(table.get(key, _GONE) is before[key] for key in before)
    if isinstance(table, list):
        return all(one is other for one, other in zip(table, before, strict=True))
    return table == before


def _set(owner: Any, key: str, value: Any) -> None:  # noqa: ANN401
    with suppress(AttributeError, TypeError):
        setattr(owner, key, value)
