"""Exported and compiled networks as files: their cards, checksums and libraries. Start at `card`."""
