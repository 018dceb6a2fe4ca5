"""How fast EXAI is: rollups of hours, baselines, and which stage explains the slow calls."""
