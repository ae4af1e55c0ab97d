"""Drivers in a process of their own, where they can hang or crash without harm: what all such cameras share.

`link` is the service's side and `process` the driver's; `slots` are the shared memory that frames come in, `sessions`
one layout of it after the other. `genicam` and `micromanager` are the drivers.
"""
