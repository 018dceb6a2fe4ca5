"""Doors for machines: WebSocket, Streamable HTTP, stdio."""
