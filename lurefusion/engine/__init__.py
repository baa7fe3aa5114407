"""Loops, hooks, checkpoints and the chaining of stages; `lurefusion.registry` names the modules of built-in members."""

#: how several processes are started; of MMEngine
LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
