# Prior rule: the coefficient of largest magnitude.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.fuser.rule': dict(_delete_=True, type='max')}
