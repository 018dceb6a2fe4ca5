"""A router with sign-in, static files and pages."""
