# Every process has the whole network. A launcher alone does the same; this is MMEngine's FlexibleRunner.
strategy = dict(type='DDPStrategy')
