"""CPU time of starting: `--help` of the commands and a loaded network, each in fresh processes, beside `import torch`.

    python benchmarks/startup.py [--repeat 5]

User and system time of the whole process, the interpreter's own start included; the median of several, after one that
warms the files (not with `--repeat 1`).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

LOAD = "from lurefusion import FusionInferencer; FusionInferencer('lure-tiny', device='cpu')"
ROWS: dict[str, list[str]] = {
    'python -c pass': ['-c', 'pass'],
    'import torch': ['-c', 'import torch'],
    **{
        f'lurefusion {words}': ['-m', 'lurefusion', *words.split()]
        for words in ('--help', 'fuse --help', 'eval --help', 'train --help', 'test --help')
    },
    "FusionInferencer('lure-tiny')": ['-c', LOAD],
}


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one Python process, and of those that it started.

    Raises:
        RuntimeError: If it fails.
    """
    before = os.times()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode:
        raise RuntimeError(f'python {" ".join(arguments)} fails: {done.stderr.strip()}')
    return after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeat', type=int, default=5, help='processes of each row')
    repeat = max(1, parser.parse_args().repeat)
    medians = {}
    for name, arguments in ROWS.items():
        if repeat > 1:
            cpu_seconds(arguments)
        medians[name] = statistics.median(cpu_seconds(arguments) for _ in range(repeat))
    print('| | CPU, s | of import torch |\n|---|---:|---:|')
    for name, seconds in medians.items():
        print(f'| `{name}` | {seconds:.2f} | {seconds / medians["import torch"]:.2f} |')


if __name__ == '__main__':
    main()
