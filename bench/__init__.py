"""Measures cameras, engines and the service, all in the same way."""
