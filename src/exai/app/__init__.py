"""Builds the services in dependency order, runs the daemon's ports, and closes everything in reverse."""
