"""Fine-tuning through the backbone, as a head that folds and tables treat like any other."""

from pseudorca.learning.heads.finetuned.changes import Augmentation
from pseudorca.learning.heads.finetuned.head import FineTuned, FineTunedHead, Material

__all__ = ["Augmentation", "FineTuned", "FineTunedHead", "Material"]
