"""How a model is run on pictures: one door for the inferencer, the commands, tests, video and the downstream chain."""
