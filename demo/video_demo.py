"""Fuse two videos, or two folders of frames, into a clip.

    python demo/video_demo.py visible.mp4 infrared.mp4 fused.mp4 --prompt auto --steady 0.5
    python demo/video_demo.py visible_frames infrared_frames fused_frames

Videos need the extra `video`; a folder of frames that becomes a folder of frames needs nothing more.
"""

from __future__ import annotations

import argparse
import sys

from lurefusion.cli import exit_code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('vi', help='visible video, or folder of frames')
    parser.add_argument('ir', help='infrared video, or folder of frames')
    parser.add_argument('out', help='video, or folder of frames, to write')
    parser.add_argument('--prompt', nargs='+', metavar='TEXT', help="a sentence, NAME=TEXT for each, or 'auto'")
    parser.add_argument('--model', default='lure-tiny', help='shipped weights, or a file of weights')
    parser.add_argument('--steady', type=float, metavar='SECONDS', help='damp shorter changes of brightness')
    return exit_code(fuse, **vars(parser.parse_args()))


def fuse(vi: str, ir: str, out: str, prompt: list[str] | None, model: str, steady: float | None) -> int:
    """Fuse and print; 1 if frames failed."""
    from lurefusion import FusionInferencer
    from lurefusion.prompts.grammar import named_parts

    fuser = FusionInferencer(model, range_mode='shared')
    report = fuser.fuse_video(dict(vi=vi, ir=ir), out, named_parts(prompt, fuser.modalities), steady=steady)
    print(f'{report.frames} frames fused into {out}, {len(report.failed)} failed')
    return int(bool(report.failed))


if __name__ == '__main__':
    sys.exit(main())
