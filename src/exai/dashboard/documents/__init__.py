"""Documents of the dashboard: what a topic of the feed shows, and what the same route answers to whoever polls."""
