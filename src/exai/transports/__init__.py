"""Doors for machines: MCP over WebSocket, Streamable HTTP and stdio, all on the SDK's kernel and one engine."""
