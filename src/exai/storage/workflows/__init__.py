"""Plans and runs of workflows: rows with an owner, changed by whoever knows their latest revision."""
