"""Fuse two pictures, with a prompt for each or 'auto', and say what was understood.

python demo/image_demo.py demo/dark_visible.png demo/dark_infrared.png fused.png --prompt auto
python demo/image_demo.py demo/dark_visible.png demo/dark_infrared.png fused.png --prompt vi='too dark' ir=lc
"""

from __future__ import annotations

import argparse
import sys

from lurefusion.cli import exit_code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('vi', help='visible picture')
    parser.add_argument('ir', help='infrared picture')
    parser.add_argument('out', help='fused picture to write')
    parser.add_argument('--prompt', nargs='+', metavar='TEXT', help="a sentence, NAME=TEXT for each, or 'auto'")
    parser.add_argument('--model', default='lure-tiny', help='shipped weights, or a file of weights')
    parser.add_argument('--bit-depth', type=int, choices=(8, 16), default=8)
    return exit_code(fuse, **vars(parser.parse_args()))


def fuse(vi: str, ir: str, out: str, prompt: list[str] | None, model: str, bit_depth: int) -> None:
    """Fuse and print."""
    from lurefusion import FusionInferencer
    from lurefusion.io.pairing import refuse_overwrite
    from lurefusion.prompts.grammar import named_parts

    refuse_overwrite([out], [vi, ir])
    fuser = FusionInferencer(model)
    result = fuser.predict(named_parts(prompt, fuser.modalities), vi=vi, ir=ir)
    result.save(out, bit_depth)
    for name, route in result.routes.items():
        print(f'{name}: {route.task} ("{route.sentence}")')
    for note in result.notes:
        print(f'note: {note}')
    print(out)


if __name__ == '__main__':
    sys.exit(main())
