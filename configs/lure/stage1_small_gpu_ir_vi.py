# Stage 1 at paper scale in less memory: a batch of 16 as four of 4, and activations of the blocks computed twice.
_base_ = './stage1_ir_vi.py'
train_dataloader = dict(batch_size=4)
optim_wrapper = dict(accumulative_counts=4)
# an iteration is one batch, the optimizer steps after four
train_cfg = dict(max_iters=800_000)
activation_checkpointing = ('image_encoder', 'decoder')
