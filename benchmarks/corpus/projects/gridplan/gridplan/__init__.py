"""Plans tasks that depend on each other into slots of rooms."""
