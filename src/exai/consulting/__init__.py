"""What every tool that asks a model needs: material, the model's window, tools that the model may call."""
