"""What is shown of each frame, and to whom. `layers` says what a frame can be shown as; `audience` who watches."""
