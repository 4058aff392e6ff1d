"""Training and evaluation runs: the LightningModule, callbacks, a run's folder."""
