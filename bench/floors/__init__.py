"""Lower bounds: what the machine, a GPU or a network's arithmetic cannot beat, measured beside each figure."""
