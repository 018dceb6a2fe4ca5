"""The stage `explore`: a model looks for further evidence by tools that read the workspace."""
