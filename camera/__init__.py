"""Where interferograms come from: optics, the forward model, cameras and the frame queue. Start at `source`."""
