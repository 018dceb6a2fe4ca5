"""Events of the process, and the bus that carries them to subscribers."""
