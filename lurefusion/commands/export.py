"""The command `lurefusion export`: a network as an ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path

# lurefusion.export.PRECISIONS, which cannot be had without torch
PRECISIONS = ('fp32', 'fp16')
#: kinds of nodes that are named; the others are counted together
NAMED = 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from lurefusion.commands.evaluate import add_import

    parser.add_argument('--model', help='as of lurefusion fuse: lure-tiny (default), a file of weights, or a config')
    parser.add_argument('--weights', help="checkpoint, safetensors file or folder of a run; 'random' to try things out")
    parser.add_argument('--out', required=True, metavar='FILE.onnx', help='the file')
    parser.add_argument(
        '--precision',
        choices=PRECISIONS,
        default='fp32',
        help='of the numbers in the file; fp16: a smaller file, computed in fp32 all the same (default: fp32)',
    )
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out `lurefusion export`."""
    from lurefusion.io.pairing import check_output

    # what is wrong with the command is said before the network is loaded
    out = Path(args.out)
    if out.suffix != '.onnx' or out.is_dir():
        raise ValueError(f'--out takes a file that ends in .onnx, got {out}')
    check_output(out.parent, folder=True)
    from lurefusion.apis.models import DEFAULT_MODEL, init_model
    from lurefusion.export import export_onnx, need_onnx
    from lurefusion.plugins import load_plugins

    need_onnx()
    load_plugins(args.plugins)
    model = init_model(args.model, args.weights, 'cpu')
    done = export_onnx(model, out, args.model or args.weights or DEFAULT_MODEL, args.precision)
    kinds = list(done.nodes.items())
    rest = sum(count for _, count in kinds[NAMED:])
    named = ', '.join(f'{count} {kind}' for kind, count in kinds[:NAMED])
    print(f'{sum(done.nodes.values())} nodes: {named}, {rest} others; {done.nodes.get("Transpose", 0)} transposes')
    print(f'largest difference to PyTorch: {done.difference:.1e}')
    print(f'{done.path} ({done.size / 1e6:.1f} MB)')
    return 0
