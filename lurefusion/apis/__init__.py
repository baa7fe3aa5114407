"""What programs call: `FusionInferencer`, and the functions that OpenMMLab users expect."""

from lurefusion.apis.inferencer import FolderReport, FusionInferencer, PictureWarning, inference_model
from lurefusion.apis.models import RANDOM, init_model, list_models
from lurefusion.structures import Failure, Item, Prediction

__all__ = [
    'RANDOM',
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
