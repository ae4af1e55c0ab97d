"""What the service offers over HTTP and WebSocket. `app` puts the routes together around one station."""
