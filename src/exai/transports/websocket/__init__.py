"""WebSocket: plain MCP, and resumable sessions."""
