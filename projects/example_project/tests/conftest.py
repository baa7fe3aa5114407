"""Puts the project's package on the path, wherever the project lies."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
