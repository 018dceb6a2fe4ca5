"""What outlives a call of a tool: plans, and runs of workflows."""
