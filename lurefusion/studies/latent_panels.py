"""Latent spaces of trainings and of finished weights beside each other: numbers, and t-SNE panels (LURE, Fig. 2)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lurefusion.apis import init_model
from lurefusion.config import at_data_root
from lurefusion.evaluation.latents import Latents, build_probe, collect_latents, embed, latent_numbers
from lurefusion.evaluation.report import format_table
from lurefusion.io.images import write_image
from lurefusion.visualization import draw_clouds

SHOWN = ('silhouette', 'linear probe', 'chance', 'Frechet', 'effective rank')


def compare(
    records: Sequence[str],
    weights: str | None,
    config: str | None,
    probe: str,
    data_root: str | None,
    out: str | None,
    save: str | None,
) -> None:
    """Print the numbers of all records and of the weights, and draw them."""
    found: dict[str, Latents] = {}
    for record in records:
        for name, latents in recorded(record).items():
            if name in found:
                raise ValueError(f'two records are called {name!r}: name each file or folder once')
            found[name] = latents
    if not weights and (idle := [f'--{name}' for name, given in (('config', config), ('save', save)) if given]):
        raise ValueError(f'{" and ".join(idle)} go with --weights')
    if weights:
        model = init_model(config or weights, weights if config else None)
        with at_data_root(data_root):
            found[weights] = collect_latents(model, build_probe(probe))
        if save:
            found[weights].save(save)
    if not found:
        raise ValueError('name records (npz files, folders of runs), or weights to probe by --weights')
    panels: dict[str, list] = {}
    rows: dict[str, dict[str, str]] = {}
    for modality in dict.fromkeys(m for latents in found.values() for m in latents.modalities()):
        for name, latents in found.items():
            part = latents.of(modality)
            numbers = {key: f'{value:.3f}' for key, value in latent_numbers(part).items()}
            rows[f'{modality}, {name}'] = numbers
            if out:
                text = '\n'.join([name, *(f'{key} {numbers[key]}' for key in SHOWN if key in numbers)])
                panels.setdefault(modality, []).append((text, embed(part), part.task))
    columns = list(dict.fromkeys(key for numbers in rows.values() for key in numbers))
    print(format_table(rows, columns, mark=False, head='modality, record'), end='')
    if out:
        write_image(out, draw_clouds(panels))
        print(out)


def recorded(path: str) -> dict[str, Latents]:
    """Name -> latents, by iteration, of an npz file or of the folder of a run."""
    place = Path(path)
    if place.is_file():
        return {os.path.relpath(place.with_suffix('')): Latents.load(place)}
    files = sorted((place / 'latents').glob('*.npz'))
    if not files:
        raise FileNotFoundError(f'no latents/*.npz in {path}; train with default_hooks.probe of type LatentProbeHook')
    loaded = sorted((Latents.load(file) for file in files), key=lambda latents: latents.iteration)
    return {f'{os.path.relpath(path)} at {latents.iteration}': latents for latents in loaded}
