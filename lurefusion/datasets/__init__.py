"""Data sets, samplers, transforms, degradations, prompts; `lurefusion.registry` says where built-in members are."""
