"""Recording: what is wanted of one (`wanted`), one on its way to the disk (`recorder`), all of them (`recordings`).

`shelf` has those that are on the disk, and what was deleted until it is gone for good.
"""
