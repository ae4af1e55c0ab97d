"""What the stream's bench is made of: a service, a line of any speed, clients of any pace and number."""
