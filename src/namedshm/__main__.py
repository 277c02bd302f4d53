"""``python -m namedshm`` is the command ``namedshm``."""

from .cli import main

if __name__ == "__main__":
    main()
