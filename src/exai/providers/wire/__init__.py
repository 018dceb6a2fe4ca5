"""The OpenAI-compatible wire: request bodies, streams, connections, and the adapter on top."""
