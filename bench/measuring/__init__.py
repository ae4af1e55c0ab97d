"""The parts of the bench of measuring: cells, tracks, growth and focus against the truth, and times beside peers."""
