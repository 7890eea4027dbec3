"""Texts that a stream brings in pieces."""

from collections import defaultdict


class Texts:
    """Texts by their names, each put together once, at the end: adding strings would take quadratic time."""

    def __init__(self) -> None:
        self._pieces: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, name: str, piece: object) -> None:
        """The next piece of one of them; what is no text is passed over."""
        if isinstance(piece, str) and piece:
            self._pieces[name].append(piece)

    def joined(self) -> dict[str, str]:
        """All of them that have come to something."""
        return {name: "".join(pieces) for name, pieces in self._pieces.items()}
