# Table 6, "w/o Unified Loss": a1 = 0; pseudo task and reconstruction stay.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.unified.weight': 0}
scales = dict(tiny=dict(options={'model.losses.mean.weight': 0}))
