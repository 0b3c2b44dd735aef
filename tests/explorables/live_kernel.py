"""A live kernel, spoken to as a notebook's page does, in either of the two surroundings."""

import subprocess
import sys
import time
from contextlib import contextmanager
from os import environ
from pathlib import Path

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

ROOT = Path(__file__).parents[2]
WIDGET = "jupyter.widget"
SURROUNDINGS = ("jupyter", "colab")
TIMEOUT = 300  # seconds; only a machine with much else to do needs so many


def python_of(surroundings):
    """The interpreter of one of SURROUNDINGS; makes Colab's if it is not there yet."""
    if surroundings == "jupyter":
        return Path(sys.executable)
    subprocess.run([ROOT / "tools/setup.sh", "colab"], check=True)
    return ROOT / ".venv-colab/bin/python"


class OneKernel(KernelSpecManager):
    """Knows how to start one interpreter's kernel, and no other."""

    def __init__(self, python):
        super().__init__()
        self.python = str(python)

    def get_kernel_spec(self, kernel_name):
        argv = [self.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, language="python")


class Kernel:
    """One kernel, and the state of every widget that lives in it, as the page knows it."""

    def __init__(self, client):
        self.client = client
        self.models = {}  # comm id → state, with its bytes in place

    def run(self, code):
        """Run code as a cell; what it printed, and the models that it displayed."""
        # Without stop_on_error=False, an older ipykernel drops what is sent just after an error.
        return self._follow(self.client.execute(code, allow_stdin=False, stop_on_error=False))

    def update(self, model, **state):
        """Send what a page sends when the reader changes a figure."""
        buffers = {name: value for name, value in state.items() if isinstance(value, bytes)}
        rest = {name: value for name, value in state.items() if name not in buffers}
        data = {"method": "update", "state": rest, "buffer_paths": [[name] for name in buffers]}
        message = self.client.session.msg("comm_msg", {"comm_id": model, "data": data})
        channel = self.client.shell_channel
        self.client.session.send(channel.socket, message, buffers=list(buffers.values()))
        return self._follow(message["header"]["msg_id"])

    def _follow(self, request):
        """Read what the kernel says about one request, until it has done with it."""
        printed, displayed, until = [], [], time.monotonic() + TIMEOUT
        failed = None
        while True:
            message = self.client.get_iopub_msg(timeout=until - time.monotonic())
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "error":
                failed = RuntimeError(f"{content['ename']}: {content['evalue']}")
            elif kind == "stream":
                printed.append(content["text"])
            elif kind in ("display_data", "execute_result"):
                view = content["data"].get("application/vnd.jupyter.widget-view+json")
                displayed += [view["model_id"]] if view else []
            elif kind == "comm_open" and content["target_name"] == WIDGET:
                self.models[content["comm_id"]] = {}
                self._take(message)
            elif kind == "comm_msg" and content["data"].get("method") == "update":
                self._take(message)
            elif kind == "status" and content["execution_state"] == "idle":
                if failed:
                    raise failed
                return "".join(printed).strip(), displayed

    def _take(self, message):
        """Put a message's state into the model, and its buffers where they belong."""
        content = message["content"]
        state = content["data"]["state"]
        for path, buffer in zip(content["data"]["buffer_paths"], message["buffers"], strict=True):
            inner = state
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = bytes(buffer)
        self.models[content["comm_id"]].update(state)


@contextmanager
def start(surroundings, folder):
    """Start a kernel in a folder; stop it afterwards."""
    manager = KernelManager(kernel_spec_manager=OneKernel(python_of(surroundings)))
    clean = {key: value for key, value in environ.items() if key != "PYTHONPATH"}
    own = {"OMP_NUM_THREADS": "1", "IPYTHONDIR": str(folder / "ipython")}
    manager.start_kernel(env=clean | own, cwd=str(folder))
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=TIMEOUT)
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
