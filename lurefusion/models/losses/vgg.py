"""The convolutional part of VGG16 as a frozen extractor of features, with weights from a local file."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from lurefusion.choices import one_of
from lurefusion.weights import read_weights

# channels of the 3x3 convolutions, block by block (Simonyan & Zisserman 2015, configuration D)
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
PREPROCESS = ('imagenet', 'caffe')


def vgg16_layers() -> nn.Sequential:
    """Layers up to relu5_3, numbered as in torchvision: convolution N has the keys ``N.weight`` and ``N.bias``."""
    layers: list[nn.Module] = []
    channels = 3
    for block in BLOCKS:
        if layers:
            layers.append(nn.MaxPool2d(2))
        for width in block:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers)


class VGG16Features(nn.Module):
    """Features after the last convolution of each block (relu1_2, relu2_2, relu3_3, relu4_3, relu5_3), frozen.

    Args:
        weights: File in torchvision's layout (``features.N.weight``, ``features.N.bias``; the classifier is ignored):
            ``.safetensors``, or a torch state dict, which is read with ``weights_only=True``.
        preprocess: Input of the training that made the weights: ``imagenet`` (RGB, ImageNet mean and deviation) or
            ``caffe`` (BGR, 0 to 255, mean subtracted).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If tensors are missing in it or have other shapes, or on an unknown `preprocess`.
    """

    def __init__(self, weights: str | os.PathLike, preprocess: str = 'imagenet') -> None:
        super().__init__()
        self.preprocess = one_of('preprocess', preprocess, PREPROCESS)
        self.layers = vgg16_layers()
        self.layers.load_state_dict(self._read(Path(weights)))
        caffe = preprocess == 'caffe'
        mean = (103.939, 116.779, 123.68) if caffe else (0.485, 0.456, 0.406)
        deviation = (1.0, 1.0, 1.0) if caffe else (0.229, 0.224, 0.225)
        self.register_buffer('mean', torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer('deviation', torch.tensor(deviation).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    def _read(self, path: Path) -> dict[str, Tensor]:
        if not path.is_file():
            raise FileNotFoundError(
                f'no file of VGG16 weights at {path}; give one in the layout of torchvision, or leave the option out'
            )
        stored = read_weights(path)[0]
        wanted = self.layers.state_dict()
        found = {key: stored.get(f'features.{key}') for key in wanted}
        problems = [
            f'features.{key}: expected {tuple(wanted[key].shape)}, got {None if t is None else tuple(t.shape)}'
            for key, t in found.items()
            if t is None or t.shape != wanted[key].shape
        ]
        if problems:
            raise ValueError(f'{path} does not hold the weights of VGG16:\n' + '\n'.join(problems[:5]))
        return found

    def train(self, mode: bool = True) -> VGG16Features:
        """Stays in evaluation mode."""
        return super().train(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Five feature maps, fine to coarse, of an image (B,1,H,W) or (B,3,H,W) in [0, 1] with sides of at least 16."""
        x = image.expand(-1, 3, -1, -1)
        if self.preprocess == 'caffe':
            x = x.flip(1) * 255
        x = (x - self.mean) / self.deviation
        features = []
        for i, layer in enumerate(self.layers):
            # a block ends where its pooling begins
            if isinstance(layer, nn.MaxPool2d):
                features.append(x)
            x = layer(x)
            if i == len(self.layers) - 1:
                features.append(x)
        return features
