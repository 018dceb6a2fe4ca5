"""Files of this machine as they enter a prompt, within the allowed roots."""
