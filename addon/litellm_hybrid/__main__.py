"""`python -m litellm_hybrid`: the console script, for where only the interpreter is known."""

from litellm_hybrid.cli.main import main

main()
