"""What programs call: `FusionInferencer`, and the functions that OpenMMLab users expect."""

from lurefusion.apis.clips import ClipReport
from lurefusion.apis.inferencer import FusionInferencer, PictureWarning
from lurefusion.apis.models import RANDOM, inference_model, init_model, list_models
from lurefusion.runtime.jobs import FolderReport
from lurefusion.structures import Failure, Item, Prediction

__all__ = [
    'RANDOM',
    'ClipReport',
    'Failure',
    'FolderReport',
    'FusionInferencer',
    'Item',
    'PictureWarning',
    'Prediction',
    'inference_model',
    'init_model',
    'list_models',
]
