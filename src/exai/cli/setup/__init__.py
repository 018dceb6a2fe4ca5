"""What `exai init` knows of MCP clients: where their configuration is, its form, and how EXAI is put into it."""
