"""Interactive figures that need no kernel: models that run in the page.

SkipSurgery      a trained U-Net whose skips the reader cuts
export_program   a model as a list of operations and a block of weights
Program          what it returns; `js/engine.js` runs it
"""

from backbone.explorables.program import Program, export_program
from backbone.explorables.skip_surgery import SkipSurgery

__all__ = ["Program", "SkipSurgery", "export_program"]
