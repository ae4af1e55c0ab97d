"""HTTP and WebSocket as this service needs them, without knowing what is served: server, guard, limits."""
