"""One adapter per runtime; each makes phase frames out of frames."""
