"""What a caller has stored, as resources of MCP: listed, read and completed for its owner alone."""
