"""The classical chain: carrier, Takeda's Fourier-transform method, Goldstein's branch cuts, background fit."""
