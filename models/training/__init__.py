"""Instrument to network: `measurement`, `simulate` or `label`, `search`, `prune`, `train`, `evaluate`."""
