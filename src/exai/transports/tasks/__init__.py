"""Tasks of MCP (`io.modelcontextprotocol/tasks`): calls whose clients need not wait for them."""
