"""`python -m exai.cli`: the same as `exai`."""

from exai.cli import main

if __name__ == "__main__":
    main()
