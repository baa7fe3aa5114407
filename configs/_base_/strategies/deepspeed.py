# ZeRO, stage 1: the optimizer's state is spread over the processes. Needs `deepspeed`, and was not run by us.
strategy = dict(type='DeepSpeedStrategy', zero_optimization=dict(stage=1))
