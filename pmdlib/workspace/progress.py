"""Tell what is running: a live line in a terminal, nothing elsewhere."""

import time
from types import TracebackType
from typing import Any, Self, TextIO


class Progress:
    """Shows which of several named items run, how many are done, and the time.

    Parameters
    ----------
    total : int
        How many items there are.
    stream : TextIO
        Where to write, if it is a terminal; elsewhere the report at the end has to do.
    """

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total = total
        self._stream = stream
        self._started: dict[str, float] = {}
        self._notes: dict[str, str] = {}
        self._done = 0
        self._bar: Any = None
        if stream.isatty():
            from tqdm import tqdm

            layout = "{n_fmt}/{total_fmt} [{elapsed}] {desc}"  # what runs, at the end of the line
            self._bar = tqdm(
                total=total, file=stream, bar_format=layout, dynamic_ncols=True, leave=False
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def start(self, name: str) -> None:
        """Note that an item starts."""
        self._started[name] = time.monotonic()
        self.tick()

    def note(self, name: str, text: str) -> None:
        """Note how far an item is."""
        self._notes[name] = text
        self.tick()

    def finish(self, name: str, result: str) -> None:
        """Note that an item ended, and print how."""
        seconds = time.monotonic() - self._started.pop(name)
        self._notes.pop(name, None)
        self._done += 1
        width = len(str(self._total))
        if self._bar is not None:
            line = f"[{self._done:{width}}/{self._total}] {name}: {result} ({seconds:.1f} s)"
            self._bar.write(line, file=self._stream)
            self._bar.update()
            self.tick()

    def tick(self) -> None:
        """Refresh the live line, where there is one."""
        if self._bar is not None:
            now = time.monotonic()
            running = (
                " ".join(filter(None, (name, self._notes.get(name), f"{now - since:.0f} s")))
                for name, since in self._started.items()
            )
            self._bar.set_description_str(", ".join(running))
