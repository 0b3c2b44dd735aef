"""Start the kernel of a notebook that was opened in Colab.

What this Python has and Colab's image has not is hidden; what leaves for the network is recorded
and refused. `PRETEND_COLAB` says the rest; see `pretend.py`.
"""

import json
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

MACHINE = json.loads(os.environ["PRETEND_COLAB"])
HOME = (None, "", "localhost", "0.0.0.0", "::", "::1")

# The book's own package is installed for the tests, and torchinfo too. In Colab neither is there.
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
IMAGE = frozenset(folder for folder in sys.path if folder != MACHINE["packages"])


class Finder(PathFinder):
    """Finds the absent packages only where they arrive later, not where the tests have them."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        """As PathFinder does."""
        if fullname in MACHINE["absent"]:
            path = [folder for folder in sys.path if folder not in IMAGE]
        return super().find_spec(fullname, path, target)


sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
sys.path.append(MACHINE["packages"])
left = [name for name in MACHINE["absent"] if find_spec(name) is not None]
if left:
    sys.exit(f"Colab has no {', '.join(left)}, and the tests cannot hide it.")


def watch(event: str, details: tuple) -> None:
    """Refuse every connection that leaves this machine; an audit hook."""
    if event == "urllib.Request" and details[0].startswith("http"):
        host = urlsplit(details[0]).hostname
    elif event == "socket.getaddrinfo":
        host = details[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(details[1], tuple):
        host = details[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in HOME and not str(host).startswith("127."):
        with Path(MACHINE["log"]).open("a") as log:
            log.write(f"network {host}\n")
        raise ConnectionRefusedError(f"No network here: {host} was asked for.")


sys.addaudithook(watch)

import google.colab.output  # noqa: E402, F401
from ipykernel.ipkernel import IPythonKernel  # noqa: E402
from ipykernel.kernelapp import IPKernelApp  # noqa: E402
from ipykernel.zmqshell import ZMQInteractiveShell  # noqa: E402

# Libraries ask `"google.colab" in str(get_ipython())`, so the shell is called as Colab's is.
Shell = type("Shell", (ZMQInteractiveShell,), {"__module__": "google.colab._shell"})
Kernel = type("Kernel", (IPythonKernel,), {"shell_class": Shell})
IPKernelApp.launch_instance(kernel_class=Kernel)
