"""The parts of the stream's bench: a service, a line of any speed, clients of any pace and number."""
