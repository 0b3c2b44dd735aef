"""Interactive figures that need no kernel: models that run in the page.

export_program   a model as a list of operations and a block of weights
Program          what it returns; `js/engine.js` runs it
"""

from backbone.explorables.program import Program, export_program

__all__ = ["Program", "export_program"]
