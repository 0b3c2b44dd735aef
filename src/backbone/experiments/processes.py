"""One process or several: under `torchrun` the runs are dealt out, and come out the same.

The networks here are small and the runs many, so the runs are shared out, not the batches: no
process waits for another, and batch norm sees the same batches as in a single process. So results
do not depend on how many processes there were.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that speaks and writes."""
        return self.rank == 0

    def mine(self, tasks: list[Any]) -> list[Any]:
        """Return this process's share: every `count`-th task."""
        return tasks[self.rank :: self.count]

    def gather(self, items: list[Any]) -> list[Any]:
        """Return everybody's items in the first process, and an empty list in the others."""
        if self.count == 1:
            return items
        parts: list[Any] | None = [None] * self.count if self.first else None
        dist.gather_object(items, parts, dst=0)
        return [item for part in parts or [] for item in part]

    def device(self, name: str | None) -> str | None:
        """Return the device for this process: GPUs are dealt out, where none is named."""
        if name is None and self.count > 1 and torch.cuda.is_available():
            return f"cuda:{self.rank % torch.cuda.device_count()}"
        return name


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the other processes if `torchrun` started this one; part from them at the end."""
    if "TORCHELASTIC_RUN_ID" not in os.environ and "WORLD_SIZE" not in os.environ:
        yield Processes()
        return
    # Only results travel, so the CPU's engine does on GPUs too. Who is done first waits for the
    # others at the end, perhaps for longer than the usual half hour.
    dist.init_process_group("gloo", timeout=timedelta(days=7))
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
