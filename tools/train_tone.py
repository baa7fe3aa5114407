"""Train the tone of `lure-tiny` or `lure-fast`, the last step of its training: everything else stays as it is.

    python tools/train_tone.py work_dirs/stage2_tiny_more_ir_vi --pictures 5000 --seed 1 --data-root DATA
    python tools/train_tone.py work_dirs/stage2_tiny_more_ir_vi --out work_dirs/tone/lure-tiny.safetensors

The first command restores pictures and keeps what the tone sees of them in --work-dir; run it several times, also at
the same time, with seeds of their own, for more. The second trains on all that is there, from nothing or, with
--go-on, from the tone that the weights have.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from lurefusion.cli import exit_code
from lurefusion.config import load_stages
from lurefusion.config.files import at_data_root
from lurefusion.registry import MODELS
from lurefusion.studies import tone
from lurefusion.weights import find_weights, load_into, read_weights, save_weights


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', help='weights, or the folder of their run')
    parser.add_argument('--config', default='lurefusion::lure/lure_tiny_more_ir_vi.py', help='of the weights')
    parser.add_argument('--data-root', help='default: $LUREFUSION_DATA, else data/')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/tone'), help='keeps seen_SEED.safetensors')
    parser.add_argument('--pictures', type=int, default=0, help='restore so many')
    parser.add_argument(
        '--pictures-from', metavar='CONFIG', help='restoration config that names them; default: of the weights'
    )
    parser.add_argument('--as-they-are', action='store_true', help='made pairs not as by other cameras')
    parser.add_argument('--steps', type=int, default=tone.Recipe.steps, help='of the training')
    parser.add_argument('--rate', type=float, default=tone.Recipe.lr, help='of learning')
    parser.add_argument('--colour', type=float, default=tone.Recipe.colour, help='weight of the error of Cb and Cr')
    parser.add_argument('--go-on', action='store_true', help='train the tone of the weights further')
    parser.add_argument('--task', help='with --go-on: only what the text of this task sets, e.g. hz')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, help='safetensors file to write')
    args = parser.parse_args()
    if bool(args.out) == bool(args.pictures):
        parser.error('name --pictures or --out')
    if (args.as_they_are or args.pictures_from) and not args.pictures:
        parser.error('--as-they-are and --pictures-from are for --pictures')
    if args.go_on and not args.out:
        parser.error('--go-on is for --out')
    if args.task and not args.go_on:
        parser.error('--task is for --go-on')
    if args.pictures < 0 or args.steps < 1 or not args.rate > 0 or not args.colour >= 0:
        parser.error('--pictures, --steps and --rate are numbers above 0, --colour is not below it')
    if args.out and args.out.suffix != '.safetensors':
        parser.error(f'--out must be a .safetensors file, got {args.out}')
    return exit_code(run, args)


def run(args: argparse.Namespace) -> None:
    """Measure, or train and write."""
    _, cfgs = load_stages(args.config, data_root=args.data_root)
    path = find_weights(args.checkpoint)
    torch.manual_seed(args.seed)
    model = MODELS.build({key: value for key, value in cfgs[-1].model.to_dict().items() if key != 'losses'})
    part = tone.tone_of(model)
    own = next(f'{name}.' for name, module in model.named_modules() if module is part)
    state, meta = read_weights(path)
    # always anew: it must not see what another tone has put right
    fresh = {key: value for key, value in model.state_dict().items() if key.startswith(own)}
    others = {key: value for key, value in state.items() if not key.startswith(own)}
    load_into(model, {**others, **fresh}, origin=str(path))
    model.eval().requires_grad_(False)
    recipe = replace(tone.Recipe(), steps=args.steps, lr=args.rate, colour=args.colour, cameras=not args.as_they_are)
    if args.pictures:
        source = load_stages(args.pictures_from, data_root=args.data_root)[1][0] if args.pictures_from else cfgs[0]
        with at_data_root(args.data_root):
            dataset = tone.pictures(source, recipe, model.size_divisor)
            found = tone.measure(model, dataset, args.pictures, args.seed, recipe)
        meta = {tone.MEASURED_BY: tone.fingerprint(model)}
        save_weights(found, args.work_dir / f'seen_{args.seed}.safetensors', meta)
        return
    seen = tone.load(args.work_dir, tone.fingerprint(model))
    print(f'{len(seen["task"])} pictures')
    if args.go_on:
        if not any(key.startswith(own) for key in state):
            raise ValueError(f'{path} has no tone to go on with')
        load_into(model, state, origin=str(path))
    tone.fit(model, seen, args.seed, recipe, args.go_on, args.task)
    save_weights(model.state_dict(), args.out, meta)


if __name__ == '__main__':
    sys.exit(main())
