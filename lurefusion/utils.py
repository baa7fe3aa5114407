"""`mmengine.hub.get_model` calls `<package>.utils.register_all_modules`: the name is theirs; nothing else goes here."""

from __future__ import annotations


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import every built-in part and plug-in, and let `load_checkpoint` take ``lurefusion://lure-tiny``.

    Args:
        init_default_scope: Make ``lurefusion`` the scope in which MMEngine looks for names.
    """
    from mmengine.registry import init_default_scope as set_default_scope

    from lurefusion import registry
    from lurefusion.mim import register_loader
    from lurefusion.plugins import load_plugins

    load_plugins()
    for each in vars(registry).values():
        if isinstance(each, registry.Registry):
            each.import_from_location()
    register_loader()
    if init_default_scope:
        set_default_scope(registry.SCOPE)
