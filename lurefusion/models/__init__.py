"""Networks, losses and the models made of them; importing this package registers all built-in members."""

from lurefusion.compat import optional_optimizers_later

with optional_optimizers_later():
    import mmengine.model  # noqa: F401

from lurefusion.models import (
    baselines,
    data_preprocessor,
    decoders,
    fusion,
    image_encoders,
    interactions,
    losses,
    lure,
    lure_fast,
    lure_tiny,
    text_encoders,
)

__all__ = [
    'baselines',
    'data_preprocessor',
    'decoders',
    'fusion',
    'image_encoders',
    'interactions',
    'losses',
    'lure',
    'lure_fast',
    'lure_tiny',
    'text_encoders',
]
