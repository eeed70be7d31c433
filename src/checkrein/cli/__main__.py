"""`python -m checkrein.cli` is `checkrein`."""

from checkrein.cli import main

if __name__ == "__main__":
    main()
