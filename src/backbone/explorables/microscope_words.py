"""What the feature microscope says, in both languages.

A key with ":" replaces the one before it, for networks that give a mask or for the one it names.
"""

WORDS = {
    "en": {
        "input": "What it sees",
        "answer": "What it says",
        "stages": "The strongest map of each stage. Pick one to see them all.",
        "layer": "Layer",
        "shape": "{c} maps of {h}×{w}",
        "guess": "Predict: each of the {n} shortcuts is cut alone. How often will the answer stay?",
        "guess:mask": (
            "Predict: each of the {n} skips is cut alone. How often will half the mask stay (IoU "
            "≥ 0.5)?"
        ),
        "verdict": (
            "You said {guess}. On this picture it is {n} of {all}: below each switch, what it "
            "says without that one."
        ),
        "verdict:mask": (
            "You said {guess}. On this picture it is {n} of {all}: below each switch, the IoU "
            "without that one."
        ),
        "skips": "Shortcuts",
        "skips:mask": "Skips",
        "whole": "all on",
        "none": "all cut",
        "says": "It says: {name}.",
        "says:mask": "{name} of the picture is in the mask.",
        "kept": "IoU with the uncut network's mask: {iou}",
        "map": "map {c}",
        "grid": "Maps of the layer",
        "range": "Map {c}: {low} … {high}. Colours: {from} … {to}, as in the uncut network.",
        "pick": "Map {c}, enlarged. Choose a pixel with the arrow keys.",
        "rest": "the other {n} maps",
        "times": "{name}: pixels × kernel",
        "bias": "bias",
        "folded": "bias (batch norm is part of kernel and bias)",
        "sum": "sum",
        "max_pool2d": "largest of these",
        "avg_pool2d": "mean of these",
        "from": "{op} of {name}",
        "cut": "cut",
        "relu": "ReLU: max(0, {v})",
        "prelu": "PReLU: below 0 times {slope}",
        "result": "{name}[{c}, {y}, {x}], row {y}, column {x} of map {c}",
        "waiting": "Loading the network …",
        "about": "",
        "about:resnet18-fashion": (
            "Trained on ten kinds of clothes and nothing else: whatever you draw gets one of "
            "these ten names."
        ),
        "about:unet-nuclei": (
            "Trained on one microscope picture of cell nuclei. Green: what it calls nucleus, in "
            "whatever you show it."
        ),
    },
    "zh": {
        "input": "网络看到的",
        "answer": "网络的回答",
        "stages": "每个阶段最强的一张特征图。点选一个阶段，查看它的全部特征图。",
        "layer": "层",
        "shape": "{c} 张 {h}×{w} 的特征图",
        "guess": "先猜：{n} 条捷径逐一单独切断，有几次回答不变？",
        "guess:mask": "先猜：{n} 条跳跃连接逐一单独切断，有几次掩码至少保住一半（IoU ≥ 0.5）？",
        "verdict": (
            "你猜 {guess} 次。在这张图上是 {all} 次中的 {n} 次：每个开关下面是缺了它时的回答。"
        ),
        "verdict:mask": (
            "你猜 {guess} 次。在这张图上是 {all} 次中的 {n} 次：每个开关下面是缺了它时的 IoU。"
        ),
        "skips": "捷径",
        "skips:mask": "跳跃连接",
        "whole": "全部接通",
        "none": "全部切断",
        "says": "它说：{name}。",
        "says:mask": "图像的 {name} 落在掩码内。",
        "kept": "与未切断时掩码的 IoU：{iou}",
        "map": "特征图 {c}",
        "grid": "这一层的特征图",
        "range": "特征图 {c}：{low} … {high}。颜色：{from} … {to}，以未切断的网络为准。",
        "pick": "放大的特征图 {c}。用方向键选择像素。",
        "rest": "其余 {n} 张特征图",
        "times": "{name}：像素 × 卷积核",
        "bias": "偏置",
        "folded": "偏置（批量归一化已并入卷积核与偏置）",
        "sum": "合计",
        "max_pool2d": "取其中最大值",
        "avg_pool2d": "取它们的平均值",
        "from": "{name} 的 {op}",
        "cut": "已切断",
        "relu": "ReLU：max(0, {v})",
        "prelu": "PReLU：负值乘以 {slope}",
        "result": "{name}[{c}, {y}, {x}]，特征图 {c} 第 {y} 行第 {x} 列",
        "waiting": "正在载入网络……",
        "about": "",
        "about:resnet18-fashion": "它只学过十类服饰：无论画什么，它都只会从这十个名字里挑一个。",
        "about:unet-nuclei": (
            "它只学过一幅细胞核显微图像。绿色：无论给它什么图，它判为细胞核的部分。"
        ),
    },
}
