"""`python -m exafleet`: the same command line, for a Python whose scripts are not on the path."""

from exafleet.apps.main import main

if __name__ == "__main__":
    main()
