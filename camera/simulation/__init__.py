"""The simulator: `instrument` has the numbers, `interferogram` the forward model, `camera` plays it live."""
