"""Run the command line as ``python -m crdtsync``."""

from crdtsync.cli import main

if __name__ == "__main__":
    main()
