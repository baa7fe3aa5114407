# Prior rule: softmax of the channel sums.
_base_ = '../lure/lure_ir_vi.py'
options = {'model.fuser.rule': dict(_delete_=True, type='exp')}
