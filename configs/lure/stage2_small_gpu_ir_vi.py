# Stage 2 at paper scale in less memory: a batch of 8 as four of 2; the image encoder is frozen and holds nothing.
_base_ = './stage2_ir_vi.py'
init_from = dict(stage='stage1_small_gpu_ir_vi')
train_dataloader = dict(batch_size=2)
optim_wrapper = dict(accumulative_counts=4)
train_cfg = dict(max_iters=80_000)
activation_checkpointing = ('fuser', 'decoder')
