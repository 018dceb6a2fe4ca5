"""From a request to the tool: admission, deadlines, the journal's two marks, the answer."""
