"""Commands that make networks and keep them: `pairs`, `train`, `export`, `compile`, `adapt`, `models`.

`commands` adds them to `qpi`. Each imports torch, if at all, when it is called.
"""
