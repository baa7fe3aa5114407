"""What an installed lurefusion must do by itself: run by the Python of an environment, anywhere but in the checkout.

python tests/smoke_installed.py
"""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys

import mmengine
import numpy as np
import torch
from mmengine.hub import get_config

import lurefusion
from lurefusion import FusionInferencer
from lurefusion.config import list_configs, load_config


def command(*words: str) -> str:
    """Output of `lurefusion ...`."""
    done = subprocess.run([sys.executable, '-m', 'lurefusion', *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f'lurefusion {" ".join(words)} failed:\n{done.stdout}{done.stderr}')
    return done.stdout


def main() -> int:
    here = lurefusion.__file__
    if not here.startswith(sys.prefix):
        raise SystemExit(f'lurefusion is taken from {here}, which is not of this environment ({sys.prefix})')
    versions = f'torch {torch.__version__}, mmengine {mmengine.__version__}, numpy {np.__version__}'
    print(f'Python {platform.python_version()}, {versions}, lurefusion {lurefusion.__version__}')
    # those of MMSegmentation take its configs as base
    foreign = importlib.util.find_spec('mmseg') is None
    names = [name for name in list_configs() if not (foreign and 'segmentation/' in name)]
    for name in names:
        load_config(name)
    print(f'{len(names)} configs load')
    assert 'lure-tiny' in command('info'), 'lurefusion info does not name the shipped weights'

    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    fused = FusionInferencer('lure-tiny')(vi=noise, ir=noise[..., 0], prompt='it is dark')
    assert fused.shape == noise.shape, fused.shape
    print(f'a pair is fused with the shipped weights, mean {fused.mean():.2f}')

    assert get_config('lurefusion::lure/stage2_tiny_ir_vi.py').filename.startswith(sys.prefix)
    print('MMEngine finds its configs')
    return 0


if __name__ == '__main__':
    sys.exit(main())
