"""What a workspace shows of a question: found without a model, bounded, and packed for one."""
