"""Interferograms that are sent: decoded and inverted one at a time in a process that can be killed.

`on_demand` is the service's side: slots, turns, budgets. `worker` starts, asks and kills the process; `process` is what
runs in it; `engines` keeps engines there within a memory budget; `task` says what is asked for.
"""
