"""One module for each kind of recording: its function `open_…` says what a file holds, as `Contents` of stacks."""
