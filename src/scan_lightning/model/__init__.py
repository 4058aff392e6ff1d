"""The encoders, the model they form, and checkpoints."""
