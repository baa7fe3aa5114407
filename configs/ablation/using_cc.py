# Table 6, "Using CC": the unified loss compares by the correlation of channels, blind to their offsets.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.losses.unified.kind': 'cc'}
