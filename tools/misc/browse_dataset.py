"""Write what a training sees as strips, to look at before hours are spent on it.

    python tools/misc/browse_dataset.py configs/lure/lure_demo.py --out browse --number 12

Every sample is drawn by the config's own sampler and goes through its own transforms; a file is called
STAGE_NUMBER_TASK_NAME.png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from mmengine.registry import DefaultScope

from lurefusion.cli import exit_code
from lurefusion.config import load_stages
from lurefusion.io.images import write_image
from lurefusion.registry import DATA_SAMPLERS, DATASETS
from lurefusion.visualization import draw_strip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='a stage or a pipeline')
    parser.add_argument('--out', required=True, help='folder of the strips')
    parser.add_argument('--number', type=int, default=20, help='samples of each stage')
    parser.add_argument('--data-root', help='root of the data sets; default $LUREFUSION_DATA, else data/')
    parser.add_argument('--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override config entries')
    args = parser.parse_args()
    return exit_code(browse, args.config, args.out, args.number, args.data_root, args.cfg_options)


def browse(
    config: str, out: str, number: int = 20, data_root: str | None = None, options: list[str] | None = None
) -> None:
    """Write `number` strips of every stage's training data."""
    if number < 1:
        raise ValueError(f'--number must be at least 1, got {number}')
    names, cfgs = load_stages(config, options, data_root)
    for stage, cfg in zip(names, cfgs, strict=True):
        with DefaultScope.overwrite_default_scope('lurefusion'):
            loaders = [cfg.train_dataloader] if 'dataset' in cfg.train_dataloader else cfg.train_dataloader.values()
            for loader in loaders:
                _write(loader, Path(out), stage, number)


def _write(loader: dict, out: Path, stage: str, number: int) -> None:
    dataset = DATASETS.build(loader['dataset'])
    sampler = DATA_SAMPLERS.build(dict(loader['sampler'], dataset=dataset, seed=0))
    for count, ticket in zip(range(number), sampler, strict=False):
        sample = dataset[ticket]
        panels = [(role, _unit(image)) for role, image in sample['inputs'].items()]
        about = sample['data_samples']
        words = [stage, f'{count:04d}', about.get('task') or 'fusion', str(about.get('name')).replace('/', '_')]
        path = out / f'{"_".join(words)}.png'
        write_image(path, draw_strip(panels))
        print(path)


def _unit(image: torch.Tensor) -> torch.Tensor:
    return image.float() / 255 if image.dtype == torch.uint8 else image


if __name__ == '__main__':
    sys.exit(main())
