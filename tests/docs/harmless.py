"""Which commands of a document may be run on the machine of whoever runs the tests.

Documents also tell how to install a service, as root. What is not known to stay
in its sandbox is not run: it needs an exception in elsewhere.py.
"""

import re

_PROGRAMS = frozenset(
    [
        "cat",
        "cd",
        "chmod",
        "cp",
        "curl",
        "cut",
        "declare",
        "echo",
        "export",
        "grep",
        "haproxy",
        "head",
        "jq",
        "kill",
        "litellm-hybrid",
        "ls",
        "mitmdump",
        "mitmweb",
        "mkdir",
        "printf",
        "promtool",
        "python",
        "python3",
        "say()",
        "sed",
        "sort",
        "tail",
        "test",
        "type",
        "uniq",
        "wc",
        "{",
        "}",
    ]
)
_SCRIPTS = frozenset({"demo", "run", "setup", "web"})
_HERE_DOCUMENT = re.compile(r"<<-?\s*(['\"]?)(\w+)\1([^\n]*)\n.*?\n\2$", re.MULTILINE | re.DOTALL)
_TEXT = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|(?<=\s)#[^\n]*|\\\n")
_BETWEEN = re.compile(r"&&|\|\|?|;|\n|(?<![<>&])&(?![<>&])")
_ELSEWHERE = re.compile(
    r"(?<![\w.:/}~-])/(?!dev/null\b)(?:bin|boot|dev|etc|home|lib|opt|root|run|sbin|srv|usr|var)\b"
)
_ASSIGNED = re.compile(r"(?:\w+=\S* *)*")


def objection(text: str, *, programs: frozenset[str] = frozenset()) -> str:
    """Why a command is not run; "" if it may be.

    Args:
        text: as the document has it.
        programs: more that may be run.
    """
    bare = _HERE_DOCUMENT.sub(r"\3", text)
    if found := _ELSEWHERE.search(bare):
        return f"it has a path of the system, {bare[found.start() :].split()[0]}"
    for part in _BETWEEN.split(_TEXT.sub(" ", bare)):
        words = _ASSIGNED.sub("", part.strip(), count=1).split()
        if words and not _may_run(words[0], programs):
            return f"{words[0]} is not among the programs that are known to stay in the sandbox"
    return ""


def _may_run(word: str, programs: frozenset[str]) -> bool:
    script = re.fullmatch(r"(?:\./)?scripts/([\w-]+)", word)
    return script[1] in _SCRIPTS if script else word in _PROGRAMS | programs
