"""Interactive figures that need no kernel: models that run in the page.

SkipSurgery        a trained U-Net whose skips the reader cuts
DegradationPlayer  measured curves, and a plain and a residual network trained in the page
ConvArithmetic     which pixels a convolution reads, and what size it gives
Checkpoint         a question in which every wrong answer names its misconception
export_program     a model as a list of operations and a block of weights
Program            what it returns; `js/engine.js` runs it
"""

from backbone.explorables.checkpoint import Checkpoint
from backbone.explorables.conv_arithmetic import ConvArithmetic
from backbone.explorables.degradation_player import DegradationPlayer
from backbone.explorables.program import Program, export_program
from backbone.explorables.skip_surgery import SkipSurgery

__all__ = [
    "Checkpoint",
    "ConvArithmetic",
    "DegradationPlayer",
    "Program",
    "SkipSurgery",
    "export_program",
]
