"""Look inside any model: what runs, what it makes, what happens without one of its connections.

layer_table      what happens to an input, step by step, with parameters and multiply-adds
draw_block, draw_network     drawings read from the live module
record_features, recording   what layers put out
cut, cuttable    run a model without some of its skips
receptive_field  which pixels one value depends on
gradient_norms   how large the gradient is at every depth
feature_grid, stage_strip, show_kernels, overlay, bars   figures in one style
show_curves      curves of several seeds, with their spread
Sheet            a table of your own, as text and as HTML
show_source      the code that is really imported
"""

from backbone.anatomy.curves import show_curves
from backbone.anatomy.draw import draw_block, draw_network
from backbone.anatomy.figures import (
    bars,
    feature_grid,
    overlay,
    show_image,
    show_kernels,
    show_map,
    stage_strip,
)
from backbone.anatomy.graph import Op, Skip, skips, trace
from backbone.anatomy.hooks import cut, cuttable, gradient_norms, record_features, recording
from backbone.anatomy.receptive import receptive_field
from backbone.anatomy.sheet import Sheet
from backbone.anatomy.source import show_source
from backbone.anatomy.style import use_style
from backbone.anatomy.table import LayerTable, layer_table

__all__ = [
    "LayerTable",
    "Op",
    "Sheet",
    "Skip",
    "bars",
    "cut",
    "cuttable",
    "draw_block",
    "draw_network",
    "feature_grid",
    "gradient_norms",
    "layer_table",
    "overlay",
    "receptive_field",
    "record_features",
    "recording",
    "show_curves",
    "show_image",
    "show_kernels",
    "show_map",
    "show_source",
    "skips",
    "stage_strip",
    "trace",
    "use_style",
]
