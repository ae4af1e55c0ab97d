"""The live path from camera to clients. Read `pipeline` first."""
