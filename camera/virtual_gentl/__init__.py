"""A virtual off-axis camera as a GenTL producer (C11): any GenICam program can open it. Built by `build.py`."""
