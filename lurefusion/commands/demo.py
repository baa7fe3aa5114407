"""The command `lurefusion demo`: a page in the browser to try the networks on."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from lurefusion.commands.evaluate import add_import

    parser.add_argument(
        '--host', default='127.0.0.1', help='address to listen at; 0.0.0.0 for everybody who can reach this machine'
    )
    parser.add_argument('--port', type=int, help='default: the first free one from 7860 on')
    parser.add_argument('--model', help='a network of your own, offered first, as in lurefusion fuse')
    parser.add_argument('--weights', help='checkpoint, safetensors file or folder of a run')
    parser.add_argument('--device', help='cpu, cuda, cuda:1; default: cuda where there is any')
    parser.add_argument(
        '--examples',
        metavar='DIR',
        help="folder with a folder for each modality (vi/, ir/), pictures of one name in both; 'none': no examples; "
        'default: rendered streets',
    )
    limits = parser.add_argument_group('what is refused')
    # the defaults are those of lurefusion.page.limits.Limits, which cannot be had without numpy
    limits.add_argument('--picture-mb', type=float, default=32, help='MB of a picture (default: 32)')
    limits.add_argument('--archive-mb', type=float, default=256, help='MB of an archive or clip (default: 256)')
    limits.add_argument('--megapixels', type=float, default=16, help='pixels of a picture, in millions (default: 16)')
    limits.add_argument('--files', type=int, default=200, help='pictures in an archive (default: 200)')
    limits.add_argument('--frames', type=int, default=300, help='frames of a clip (default: 300)')
    limits.add_argument('--queue', type=int, default=16, help='requests that wait (default: 16)')
    limits.add_argument(
        '--keep', type=int, default=1800, metavar='SECONDS', help='until files are removed (default: 1800)'
    )
    add_import(parser)


LIMITS = ('picture_mb', 'archive_mb', 'megapixels', 'files', 'frames', 'queue', 'keep')


def run(args: argparse.Namespace) -> int:
    """Put the page up, until Ctrl+C."""
    from lurefusion.page.limits import Limits
    from lurefusion.page.serve import need_gradio, open_page
    from lurefusion.plugins import load_plugins

    limits = Limits(**{name: getattr(args, name) for name in LIMITS})
    need_gradio()
    load_plugins(args.plugins)
    page = open_page(args.host, args.port, args.model, args.weights, args.device, args.examples, limits)
    print(f'{page.url} (Ctrl+C ends it)', flush=True)
    page.wait()
    return 0
