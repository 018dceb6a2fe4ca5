"""Those who watch: metrics, health, loop lag."""
