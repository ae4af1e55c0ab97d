"""What exported and compiled networks say of themselves, read before they are run. Start at `identity`."""
