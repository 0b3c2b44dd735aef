"""show_source shows the code that is imported, without its docstrings and with its comments."""

import inspect

import pytest

from backbone import unet
from backbone.anatomy import show_source
from backbone.resnet import BasicBlock, ResNet


def test_every_line_comes_from_the_file():
    shown = show_source(BasicBlock)
    original = inspect.getsource(BasicBlock).splitlines()
    assert all(line in original for line in shown.code.splitlines())
    assert "# the whole idea, in one line" in shown.code
    assert '"""' not in shown.code
    assert "out += shortcut" in shown.code


def test_docstrings_on_request_and_methods():
    assert '"""Two 3×3 convolutions' in show_source(BasicBlock, docstring=True).code
    assert show_source(ResNet.forward).code.startswith("def forward(self, x: Tensor)")
    assert "class UNetModel" in show_source(unet).code


def test_it_says_where_it_is_from():
    markdown = show_source(BasicBlock)._repr_markdown_()
    assert markdown.startswith("```python\n# backbone/resnet.py\nclass BasicBlock")
    assert markdown.endswith("```")


def test_an_instance_is_refused_with_a_hint():
    with pytest.raises(TypeError, match="Did you mean BasicBlock"):
        show_source(BasicBlock(2, 2))
