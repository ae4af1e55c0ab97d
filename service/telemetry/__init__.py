"""What happens to frames and requests, as OpenTelemetry's traces and metrics, for sites that collect them.

Nothing of this is imported unless the environment asks for it (`wanted`); then `telemetry.Telemetry` sends it out by
OTLP. `frames` makes a trace of each frame, `requests` of each request, and `metrics` passes on what `/metrics` says.
All of it stands beside the line: it reads a bounded tap in a thread of its own, and leaves out what it has no time for.
Needs the extra `telemetry`.
"""
