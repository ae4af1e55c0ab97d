"""The service as EPICS process variables over PV Access, for beamlines and Bluesky.

`server.EpicsServer` is where to start: images as NTNDArray, statistics as NTScalar. It rests on `qpi_live.PhaseClient`,
so it runs beside the service or at another machine. Needs the extra `epics`.
"""
