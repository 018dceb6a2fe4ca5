"""The stages of a run, and one call's work at them."""
