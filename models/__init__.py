"""How interferograms are inverted: the classical chain, the networks, and one engine per runtime."""
