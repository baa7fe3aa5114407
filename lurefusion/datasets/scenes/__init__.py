"""Rendered street scenes: registered visible, infrared, depth and label pictures from a seed, without any download."""

from lurefusion.datasets.scenes.render import Scene, render_scene

__all__ = ['Scene', 'render_scene']
