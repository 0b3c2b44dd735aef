"""For every test: one thread; on models this small two only wait for each other."""

import torch

torch.set_num_threads(1)
