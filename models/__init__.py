"""From interferogram to phase: the classical chain, the networks, and one engine per runtime. Start at `engine`."""
