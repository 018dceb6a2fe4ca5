"""What the commands on baselines have in common."""
