"""What `exai chat` needs beside the client: the prompt, the screen, and a daemon of its own."""
