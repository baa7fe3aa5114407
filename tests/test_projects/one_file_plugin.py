"""A new fault (dead columns of an infrared detector) and all that it takes, in one file that touches nothing else."""

import numpy as np
import torch
from torch import Tensor, nn

from lurefusion.datasets.degradations import Degradation
from lurefusion.datasets.fusion import FusionPairDataset
from lurefusion.models.fusion import FusionRule
from lurefusion.models.image_encoders import ImageEncoder
from lurefusion.models.losses import Loss
from lurefusion.registry import DATASETS, DEGRADATIONS, FUSION_RULES, IMAGE_ENCODERS, INTERACTIONS, LOSSES, MEASURES


@DEGRADATIONS.register_module()
class DeadColumns(Degradation):
    """Some columns of the detector say nothing."""

    task = 'dc'

    def __init__(self, share: float = 0.05) -> None:
        self.share = share

    def degrade(self, image: np.ndarray, rng: np.random.Generator, depth: np.ndarray | None) -> tuple:
        """image (H,W,3) or (H,W) float32 in [0,1]."""
        dead = rng.choice(image.shape[1], max(1, int(self.share * image.shape[1])), replace=False)
        spoilt = image.copy()
        spoilt[:, dead] = 0
        return spoilt, dict(dead=len(dead))


@DATASETS.register_module()
class OneFolder(FusionPairDataset):
    """``a.vi.png`` beside ``a.ir.png``."""

    def __init__(self, folder: str, **kwargs) -> None:
        super().__init__(data_prefix=dict(vi=folder, ir=folder), **kwargs)

    def pair_key(self, role: str, stem: str) -> str | None:
        """The part before the role."""
        name, _, end = stem.rpartition('.')
        return name if end == role else None

    def find(self, role: str, key: str, files: dict) -> object:
        """File of a sample."""
        return files.get(f'{key}.{role}')


@IMAGE_ENCODERS.register_module()
class SmallEncoder(ImageEncoder):
    """One level."""

    def __init__(self, text_dim: int, num_modalities: int, latent: int = 8) -> None:
        super().__init__(text_dim, num_modalities, out_channels=(latent,), strides=(1,))
        self.first = nn.Conv2d(3, latent, 3, padding=1)
        self.modality = nn.Embedding(num_modalities, latent)
        self.text = INTERACTIONS.build('TGA', channels=latent, text_dim=text_dim)

    def forward(self, x: Tensor, c: Tensor, m: Tensor) -> list[Tensor]:
        """x (B,3,H,W), c (B,text_dim), m (B,)."""
        return [self.text(self.first(x) + self.modality(m)[:, :, None, None], c)]


@FUSION_RULES.register_module(name='median')
class MedianRule(FusionRule):
    """Middle value."""

    def forward(self, z: list[Tensor]) -> Tensor:
        """z: M times (B,L,h,w)."""
        return torch.stack([*z, sum(z) / len(z)]).median(0).values


@LOSSES.register_module()
class EvenColumns(Loss):
    """Steps between the means of neighbouring columns, beyond those of the sources."""

    needs = ('fused', 'sources')

    def forward(self, fused: Tensor, sources: dict[str, Tensor]) -> Tensor:
        """fused (B,3,H,W)."""
        own, *others = (steps(picture) for picture in (fused, *sources.values()))
        return (own - torch.stack(others).amax(0)).clamp(min=0).mean()


def steps(picture: Tensor) -> Tensor:
    """(B,)."""
    return picture.mean((1, 2)).diff(dim=1).abs().mean(1)


@MEASURES.register_module(
    name='Steps',
    title='steps between columns',
    unit='grey levels',
    range=(0, 255),
    higher_is_better=False,
    needs='fused',
    source='this file',
)
def steps_left(fused: Tensor) -> Tensor:
    """fused (B,1|3,H,W) in [0,1] to (B,)."""
    return 255 * steps(fused)
