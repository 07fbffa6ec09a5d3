"""Fine-tuning through the backbone, as a head that folds and tables treat like any other."""

from pseudorca.learning.finetuning.augmentation import Augmentation
from pseudorca.learning.finetuning.head import FineTuned, FineTunedHead, Material

__all__ = ["Augmentation", "FineTuned", "FineTunedHead", "Material"]
