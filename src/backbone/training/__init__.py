"""Train a network and measure it.

    history = fit(model, (images, labels), (test_images, test_labels), epochs=10)
    history = fit(unet, Crops(image, mask, size=64, batch_size=16, steps=50), test, metric="iou")

fit              one loop for classification and segmentation; resumes after an interruption
evaluate         loss and score on data the model does not learn from
Shuffled, Crops  where batches come from
accuracy, iou, dice, confusion_matrix    how good is it?
dice_loss        a loss that minds the overlap, not the number of pixels
choose_device, seed_everything           where to compute, and the same chance again
"""

from backbone.training.batches import Batches, Crops, Shuffled
from backbone.training.checkpoints import load_checkpoint, save_checkpoint
from backbone.training.device import choose_device
from backbone.training.history import History
from backbone.training.loop import DivergedError, evaluate, fit
from backbone.training.losses import dice_loss
from backbone.training.metrics import accuracy, confusion_matrix, dice, iou
from backbone.training.seeding import seed_everything

__all__ = [
    "Batches",
    "Crops",
    "DivergedError",
    "History",
    "Shuffled",
    "accuracy",
    "choose_device",
    "confusion_matrix",
    "dice",
    "dice_loss",
    "evaluate",
    "fit",
    "iou",
    "load_checkpoint",
    "save_checkpoint",
    "seed_everything",
]
