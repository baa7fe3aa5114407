"""The command `lurefusion info`: what is installed, what runs it, which weights, which configs and parts."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

#: under which pip knows this package
NAME = 'lurefusion'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from lurefusion.commands.evaluate import add_import

    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out `lurefusion info`."""
    from lurefusion import __version__
    from lurefusion.config import list_configs
    from lurefusion.plugins import load_plugins
    from lurefusion.registry import REGISTRIES, members

    load_plugins(args.plugins)
    print(f'lurefusion {__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}')
    sections = dict(runners=_runners(), weights=_weights(), extras=_extras(), configs=list_configs())
    for title, lines in sections.items():
        print(f'\n{title}:')
        print('\n'.join(f'  {line}' for line in lines) or '  none')
    for registry in REGISTRIES:
        names = (f'{name}{_origin(module)}' for name, module in members(registry).items())
        plural = registry.name + ('es' if registry.name.endswith('s') else 's')
        print(f'\n{plural}: {", ".join(names) or "MMEngine has them"}')
    return 0


def _origin(module: str) -> str:
    """Which plug-in a part comes from, nothing for those of lurefusion."""
    return '' if module.split('.')[0] == 'lurefusion' else f' (from {module})'


def _runners() -> Iterator[str]:
    """What `--runner` and `--device` take here."""
    import torch

    from lurefusion.runtime.torch_runner import devices

    names = []
    for device in devices():
        name = f' ({torch.cuda.get_device_name(device)})' if device.startswith('cuda') else ''
        names.append(f'{device}{name}')
    yield f'torch {torch.__version__}: {", ".join(names)}'
    missing = [name for name in ('onnx', 'onnxruntime') if _version(name) is None]
    if 'onnxruntime' in missing:
        yield "onnx: not here: pip install 'lurefusion[export]'"
        return
    files = "; .onnx files alone, to export: pip install 'lurefusion[export]'" if missing else ''
    yield f'onnx (ONNX Runtime {_version("onnxruntime")}): cpu{files}'


def _weights() -> Iterator[str]:
    """The shipped files, also that of the automatic prompt."""
    from lurefusion.io.digests import file_digest
    from lurefusion.weights import WEIGHTS_DIR

    for path in sorted(WEIGHTS_DIR.glob('*.safetensors')):
        yield f'{path.stem}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 {file_digest(path)}'
    yield f'in {Path(WEIGHTS_DIR)}'


def _extras() -> Iterator[str]:
    """Each extra: its packages with their versions, or the command that brings those that are missing."""
    for extra, packages in extras().items():
        versions = {name: _version(name) for name in packages}
        missing = [name for name, version in versions.items() if version is None]
        if missing:
            yield f"{extra}: missing {', '.join(missing)}: pip install 'lurefusion[{extra}]'"
        else:
            yield f'{extra}: {", ".join(f"{name} {version}" for name, version in versions.items())}'


def extras() -> dict[str, list[str]]:
    """Extra -> names of its packages, as the installed lurefusion declares them; without `all`, `dev` and `docs`.

    Nothing where lurefusion is not installed but run from its folder.
    """
    # of transformers, as of pip
    from packaging.requirements import Requirement

    found: dict[str, list[str]] = {}
    try:
        declared = metadata.metadata(NAME)
    except metadata.PackageNotFoundError:
        return found
    requirements = [Requirement(text) for text in declared.get_all('Requires-Dist') or []]
    for extra in declared.get_all('Provides-Extra') or []:
        own = [r.name for r in requirements if r.marker is not None and _only_with(r, extra)]
        if extra not in ('all', 'dev', 'docs') and own:
            found[extra] = own
    return found


def _only_with(requirement: object, extra: str) -> bool:
    """Whether the marker of a requirement holds with the extra, and not without any."""
    return requirement.marker.evaluate({'extra': extra}) and not requirement.marker.evaluate({'extra': ''})


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
