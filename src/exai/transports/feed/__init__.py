"""The feed of the dashboard: what is shown, as it changes, over one WebSocket of a browser."""
