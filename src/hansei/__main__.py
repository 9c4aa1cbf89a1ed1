"""`python -m hansei` is the same as `hansei`."""

from hansei.cli import main

if __name__ == "__main__":
    main()
