"""A machine that looks to a notebook as Colab does, on this one.

    colab = Colab(home, python)
    colab.opens(Path("book/en/index.ipynb"))        a `Run`: complaints, seconds, calls

The notebook runs alone, in an empty folder: its file and the repository are not there. The address
of the repository leads to a bare clone with the tag of the version, which holds today's working
tree. Nothing else can be reached, and every call of an installer is written down. Of those, one is
answered: Colab has no torchinfo, and the setup cell fetches it without dependencies.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
IMAGE = json.loads((ROOT / "tests" / "colab-image.json").read_text("utf-8"))
CELL_SECONDS = 600
NO_NETWORK = "http://no-network.invalid:9"  # a proxy

# What the setup cell may call, and the files that it brings.
INSTALLS = {"pip install -q --no-deps torchinfo": ("torchinfo", "torchinfo-*.dist-info")}
INSTALLERS = ("pip", "pip3", "uv", "conda", "mamba", "apt", "apt-get", "npm")
WIDGET = "application/vnd.jupyter.widget-view+json"

NOT_PORTABLE = {
    "a MyST directive, which Colab shows as code": r"^\s*(`{3,}|:{3,})\{",
    "a MyST role, which Colab shows as code": r"\{(ref|doc|numref|cite\w*|eq|term|math)\}`",
    "an attachment, which Colab drops": r"\(attachment:",
    "a relative image; only the notebook arrives in Colab": (
        r"!\[[^\]]*\]\((?!https?:|data:)|<img[^>]+src=[\"'](?!https?:|data:)"
    ),
}


@dataclass
class Run:
    """What became of a notebook."""

    name: str
    complaints: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)  # of installers, and of the network
    seconds: float = 0.0
    busy: float = 0.0  # seconds of one core
    slowest: list[tuple[float, str]] = field(default_factory=list)  # cells: seconds, id

    def __str__(self) -> str:
        cells = ", ".join(f"{name} {seconds:.1f}" for seconds, name in self.slowest)
        took = f"{self.name}: {self.seconds:.1f} s, {self.busy:.1f} s of a core ({cells})"
        return f"{took}; {', '.join(self.calls) or 'no calls'}"


class _OneKernel(KernelSpecManager):
    """Knows one kernel, whatever it is asked for."""

    argv: tuple[str, ...] = ()

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(argv=list(self.argv), language="python")


class Colab:
    """See the text above. `home` is an empty folder; `python` has the packages."""

    def __init__(self, home: Path, python: Path) -> None:
        self.home, self.python = home, python
        self.repository = publish(home / "book.git")
        self.commands = home / "bin"
        self.commands.mkdir()
        for name in INSTALLERS:
            self._command(
                name, f'echo "{name} $*" >>"$PRETEND_LOG"\necho "no {name} here" >&2\nexit 97'
            )
        beside = Path(sys.executable).parent
        if "dot" in IMAGE["commands"] and not shutil.which("dot"):  # Colab has the system's
            self._command("dot", f'exec "{beside / "graphviz-pure"}" "$@"')
        self.path = [self.commands, *_folders_of_path(without=beside)]
        site = Path(sysconfig.get_path("purelib"))
        self.installs = {
            call: [str(path) for name in names for path in site.glob(name)]
            for call, names in INSTALLS.items()
        }

    def _command(self, name: str, script: str) -> None:
        (self.commands / name).write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        (self.commands / name).chmod(0o755)

    def opens(self, notebook: Path) -> Run:
        """Run a notebook from top to bottom, and say what a reader in Colab would meet."""
        content = nbformat.read(notebook, as_version=4)
        run = Run(f"{notebook.parent.name}/{notebook.stem}", list(not_portable(content)))
        for cell in content.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        own = self.home / f"{notebook.parent.name}-{notebook.stem}"
        folder, packages, log = own / "content", own / "packages", own / "calls.txt"
        for made in (folder, packages):
            made.mkdir(parents=True)
        log.touch()

        client = NotebookClient(
            content,
            timeout=CELL_SECONDS,
            store_widget_state=True,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(folder)}},
        )
        client.create_kernel_manager().kernel_spec_manager = _OneKernel()
        client.km.kernel_spec_manager.argv = (
            *(str(self.python), str(HERE / "machine" / "launch.py")),
            *("-f", "{connection_file}"),
        )
        began, busy = time.perf_counter(), _busy()
        try:
            client.execute(env=self._environment(own, packages, log))
        except CellExecutionError as error:
            run.complaints.append(f"cell {_failed(content)} failed: {error.ename}: {error.evalue}")
        except (CellTimeoutError, DeadKernelError) as error:
            run.complaints.append(f"the kernel gave up: {error}")
        run.seconds, run.busy = time.perf_counter() - began, _busy() - busy
        run.slowest = sorted(_seconds_of_cells(content), reverse=True)[:3]

        run.calls = log.read_text("utf-8").splitlines()
        run.complaints += [
            f"{call!r} was called, which changes the packages under a running session"
            if call.split()[0] in INSTALLERS
            else f"{call!r}: what the notebook needs comes with the setup cell"
            for call in run.calls
            if call not in INSTALLS
        ]
        run.complaints += [
            f"the setup cell shows {output.get('text', output.output_type)!r}"
            for cell in content.cells
            if cell.get("id") == "setup"
            for output in cell.outputs
            if output.output_type != "error"
        ]
        run.complaints += without_manager(content)
        left = sorted(path.name for path in folder.iterdir() if path.name != "backbones")
        if left:
            run.complaints.append(f"files are left in the reader's folder: {', '.join(left)}")
        shutil.rmtree(own)
        return run

    def _environment(self, own: Path, packages: Path, log: Path) -> dict[str, str]:
        machine = {
            "log": str(log),
            "packages": str(packages),
            "absent": ["backbone", *IMAGE["absent"]],
            "installs": self.installs,
        }
        ours = ("PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV", "BACKBONE_LANGUAGE", "TQDM_DISABLE")
        return {k: v for k, v in os.environ.items() if k not in ours} | {
            "PRETEND_COLAB": json.dumps(machine),
            "PRETEND_LOG": str(log),
            "PYTHONPATH": str(HERE / "machine" / "modules"),
            "PATH": os.pathsep.join(map(str, self.path)),
            "HOME": str(own),
            "IPYTHONDIR": str(own / "ipython"),
            "MPLCONFIGDIR": str(self.home / "matplotlib"),  # the list of fonts, made only once
            "COLAB_RELEASE_TAG": "release-colab-pretended",
            "COLAB_GPU": "0",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "OMP_NUM_THREADS": "1",  # two notebooks run at a time, on two cores
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "file",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self.repository.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": PROJECT["urls"]["Repository"],
            **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NO_NETWORK),
            "PIP_NO_INDEX": "1",
        }


def publish(bare: Path) -> Path:
    """Make a bare repository whose tag of this version holds today's working tree."""
    who = ["-c", "user.name=Reader", "-c", "user.email=reader@example.org"]
    environment = os.environ | {"GIT_DIR": str(bare), "GIT_WORK_TREE": str(ROOT)}
    subprocess.run(["git", "init", "-q", "--bare", bare], check=True)
    for command in (
        ["add", "--all"],
        [*who, "commit", "-q", "-m", "today's working tree"],
        ["tag", f"v{PROJECT['version']}"],
        ["repack", "-adq"],  # or every clone would pack it anew
    ):
        subprocess.run(
            ["git", *command], cwd=ROOT, env=environment, check=True, capture_output=True
        )
    return bare


def not_portable(notebook: NotebookNode) -> Iterator[str]:
    """Yield a complaint for every piece of Markdown that reads well on the site alone."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for why, pattern in NOT_PORTABLE.items():
                for found in re.finditer(pattern, cell.source, re.M):
                    yield f"cell {cell.get('id')!r} has {why}: {found[0].strip()!r}"


def without_manager(notebook: NotebookNode) -> Iterator[str]:
    """Yield a complaint for every figure that Colab would show as an empty line."""
    states = notebook.metadata.get("widgets", {}).get(
        "application/vnd.jupyter.widget-state+json", {"state": {}}
    )["state"]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            view = output.get("data", {}).get(WIDGET)
            state = states.get(view["model_id"], {}) if view else {}
            if not state.get("model_module", "@jupyter-widgets/").startswith("@jupyter-widgets/"):
                known = output.metadata.get(WIDGET, {}).get("colab", {})
                if "custom_widget_manager" not in known:
                    yield f"cell {cell.id!r} shows a figure without Colab's widget manager"


def _folders_of_path(without: Path) -> list[Path]:
    folders = [Path(folder) for folder in os.environ["PATH"].split(os.pathsep) if folder]
    return [folder for folder in folders if folder.resolve() != without.resolve()]


def _busy() -> float:
    """Return the seconds of a core that ended children have used; unlike a clock, fair to load."""
    times = os.times()
    return times.children_user + times.children_system


def _failed(notebook: NotebookNode) -> str:
    for cell in notebook.cells:
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return repr(cell.get("id"))
    return "?"


def _seconds_of_cells(notebook: NotebookNode) -> Iterator[tuple[float, str]]:
    for cell in notebook.cells:
        times = cell.metadata.get("execution", {})
        if "iopub.execute_input" in times and "shell.execute_reply" in times:
            began, ended = (
                datetime.fromisoformat(times[name].replace("Z", "+00:00"))
                for name in ("iopub.execute_input", "shell.execute_reply")
            )
            yield (ended - began).total_seconds(), cell.get("id", "?")
