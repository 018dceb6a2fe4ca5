"""The OpenAI-compatible API: request bodies, streams, connections, and the adapter on top."""
