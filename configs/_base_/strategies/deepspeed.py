# ZeRO, stage 1: the optimizer's state is spread over the processes. Needs `pip install 'deepspeed>=0.16,<0.19'`.
strategy = dict(type='DeepSpeedStrategy', zero_optimization=dict(stage=1))
