"""The command `qpi`. Start at `main`."""
