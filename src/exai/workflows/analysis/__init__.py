"""What is made of an analysis: graphs of calls as lists and drawings, and what is worth restructuring."""
