"""Tools whose work outlives a call: plans, and those that run workflows."""
