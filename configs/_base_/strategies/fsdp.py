# Gradients and the optimizer's state are spread over the processes, parameters between the steps.
strategy = dict(type='FSDPStrategy', model_wrapper=dict(sharding_strategy='SHARD_GRAD_OP'))
