"""Write rendered pairs as NUMBER_vi.png and NUMBER_ir.png: python write_pictures.py FOLDER [HOW_MANY]."""

from __future__ import annotations

import sys
from pathlib import Path

from lurefusion.datasets.scenes import render_scene
from lurefusion.io.images import write_image


def write_pictures(folder: str | Path, count: int = 20, size: tuple[int, int] = (192, 256)) -> None:
    """`count` pairs of `size` (height, width) into `folder`."""
    for number in range(count):
        scene = render_scene(number, size)
        write_image(Path(folder) / f'{number:04d}_vi.png', scene.visible)
        write_image(Path(folder) / f'{number:04d}_ir.png', scene.infrared)


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    write_pictures(sys.argv[1], *map(int, sys.argv[2:3]))
    print(sys.argv[1])
