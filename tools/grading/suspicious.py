"""Source text that a person should look at.

A search like this stops nobody who hides what he does. It finds what is copied from the web, and
it makes the rest an effort that is larger than the exercise.
"""

from __future__ import annotations

import ast
import re

# What no exercise needs: (words in the source, what the table says).
MODULES = {
    "ctypes": "ctypes reaches past Python",
    "gc": "gc finds the grader's objects",
    "inspect": "inspect reads the checks",
    "multiprocessing": "starts processes",
    "os": "",  # by attribute, below
    "pickle": "",
    "signal": "signal runs code later",
    "socket": "opens connections",
    "subprocess": "starts programs",
    "urllib": "opens connections",
    "requests": "opens connections",
    "unittest": "mock replaces functions",
    "mmap": "mmap reaches past Python",
    "atexit": "atexit runs code later",
}
WORDS = {
    "_getframe": "looks into the grader's frames",
    "_current_frames": "looks into the grader's frames",
    "settrace": "settrace watches the grader",
    "setprofile": "setprofile watches the grader",
    "addaudithook": "addaudithook watches the grader",
    "__globals__": "__globals__ reaches other modules",
    "__closure__": "__closure__ reaches the grader",
    "__code__": "__code__ changes functions",
    "__subclasses__": "__subclasses__ finds the grader's objects",
    "__builtins__": "changes builtins",
    "_render_traceback_": "prints a verdict of its own",
    "EXERCISES": "touches the table of checks",
    "load_checks": "touches the teacher's checks",
    "register_module_forward_hook": "hooks every module",
    "TorchFunctionMode": "changes every PyTorch function",
    "TorchDispatchMode": "changes every PyTorch function",
}
OS_CALLS = {
    "system", "popen", "kill", "killpg", "fork", "forkpty", "_exit", "abort", "remove", "unlink",
    "rmdir", "removedirs", "rename", "replace", "chmod", "chown", "read", "write", "fdopen", "dup",
    "dup2", "execv", "execve", "execvp", "spawnl", "posix_spawn", "open",
}  # fmt: skip


def suspicions(code: str) -> list[str]:
    """Return what is unusual in the source of a submission, each once, in words."""
    found: dict[str, None] = {}
    try:
        tree = ast.parse("\n".join("" if re.match(r"\s*[%!]", x) else x for x in code.splitlines()))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if tree is None:  # as text, so that a typing error hides nothing
        words = set(re.findall(r"\w+", code))
        found |= dict.fromkeys(WORDS[word] for word in sorted(words & set(WORDS)))
        found |= dict.fromkeys(t for m, t in MODULES.items() if t and m in words)
        return list(found)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                _module(alias.name, found)
        elif isinstance(node, ast.ImportFrom):
            _module(node.module or "", found)
            for alias in node.names:
                _module(f"{node.module}.{alias.name}", found)
                if alias.name in WORDS:
                    found[WORDS[alias.name]] = None
                if node.module == "os" and alias.name in OS_CALLS:
                    found[f"os.{alias.name}"] = None
        elif isinstance(node, ast.Attribute):
            if node.attr in WORDS:
                found[WORDS[node.attr]] = None
            elif isinstance(node.value, ast.Name) and node.value.id == "os":
                if node.attr in OS_CALLS:
                    found[f"os.{node.attr}"] = None
            elif isinstance(node.value, ast.Name) and node.value.id == "shutil":
                found[f"shutil.{node.attr}"] = None
        elif isinstance(node, ast.Name):
            if node.id in WORDS:
                found[WORDS[node.id]] = None
            elif node.id in {"exec", "eval", "compile", "__import__"}:
                found[f"{node.id} runs text as code"] = None
        elif isinstance(node, ast.FunctionDef) and node.name in {"__eq__", "__del__"}:
            found[f"defines {node.name}"] = None
        elif isinstance(node, ast.FunctionDef) and node.name in WORDS:
            found[WORDS[node.name]] = None
    return list(found)


def _module(name: str, found: dict[str, None]) -> None:
    parts = name.split(".")
    if text := MODULES.get(parts[0]):
        found[text] = None
    public = {"check", "hand_in", "question", "Right", "Wrong"}
    if parts[:2] == ["backbone", "exercises"] and len(parts) > 2 and parts[2] not in public:
        found["imports the checks"] = None
    if parts[0] == "grading":
        found["imports the grader"] = None
