"""Interactive figures that need no kernel: models that run in the page.

SkipSurgery        a trained U-Net whose skips the reader cuts
DegradationPlayer  measured curves, and a plain and a residual network trained in the page
FeatureMicroscope  every map of a network while the reader draws, down to the sum of one pixel
NetworkMap         drawing, layer table and source code of a network, linked
BlockLab           both paths of a residual block, and the decision about its shortcut
ConvArithmetic     which pixels a convolution reads, and what size it gives
Checkpoint         a question in which every wrong answer names its misconception
export_program     a model as a list of operations and a block of weights
Program            what it returns; `js/engine.js` runs it
"""

from backbone.explorables.block_lab import BlockLab
from backbone.explorables.checkpoint import Checkpoint
from backbone.explorables.conv_arithmetic import ConvArithmetic
from backbone.explorables.degradation_player import DegradationPlayer
from backbone.explorables.feature_microscope import FeatureMicroscope
from backbone.explorables.network_map import NetworkMap
from backbone.explorables.program import Program, export_program
from backbone.explorables.skip_surgery import SkipSurgery

__all__ = [
    "BlockLab",
    "Checkpoint",
    "ConvArithmetic",
    "DegradationPlayer",
    "FeatureMicroscope",
    "NetworkMap",
    "Program",
    "SkipSurgery",
    "export_program",
]
