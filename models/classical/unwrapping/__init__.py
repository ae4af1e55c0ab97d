"""From wrapped phase to unwrapped phase: residues, the branch cuts that balance them, and what lies between cuts."""
