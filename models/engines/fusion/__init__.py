"""A measured phase and a network's picture: hold a polynomial between frames, look at a picture, take noise off."""
