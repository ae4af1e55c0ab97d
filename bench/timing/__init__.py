"""How engines are timed: which there are to time (`engines`), one frame at a time and the live line (`line`), in torch.

`run` is what `bench/latency.py` does.
"""
