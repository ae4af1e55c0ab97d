"""Cameras that speak GenICam. Start at `camera`, the service's side; `capture_process` owns the driver."""
