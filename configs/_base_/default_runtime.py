default_scope = 'lurefusion'
randomness = dict(seed=0, deterministic=True)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
log_level = 'INFO'
log_processor = dict(by_epoch=False, window_size=50)
visualizer = dict(
    type='FusionVisualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    checkpoint=dict(
        type='KeepingCheckpointHook',
        by_epoch=False,
        interval=1000,
        max_keep_ckpts=2,
        backend_args=dict(backend='atomic'),
    ),
)
custom_hooks = [dict(type='StripHook'), dict(type='LatentDiagnosticsHook', interval=200), dict(type='FrozenCheckHook')]
