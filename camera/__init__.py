"""How interferograms arise: optics, the forward model, cameras and the frame queue."""
