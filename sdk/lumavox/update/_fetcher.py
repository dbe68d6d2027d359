"""``BoundedFetcher``: downloads that end, whatever the other side does.

TUF bounds the bytes of every file. This bounds the time of everything together: name look-up, handshake,
headers and body run in a thread, and who waits gives up at the deadline, even on a server that sends one
byte now and then. Temporary files lie beside the store, never in memory-backed ``/tmp``. It has the two
methods of tuf's ``FetcherInterface`` that its client calls; tuf is imported where it is first used.
"""

from __future__ import annotations

import contextlib
import queue
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .._version import __version__

CHUNK_BYTES = 64 * 1024


class BoundedFetcher:
    """``silence_s``: the longest that nothing may come; `allow` says when all has to be there."""

    def __init__(self, folder: Path, silence_s: float) -> None:
        import urllib3

        self._folder, self._silence_s = folder, silence_s
        self._deadline = 0.0
        retries = urllib3.Retry(total=3, read=0, redirect=3, backoff_factor=0.1)
        headers = {"User-Agent": f"lumavox/{__version__}", "Accept-Encoding": "identity"}
        self._pool = urllib3.PoolManager(retries=retries, headers=headers)

    def allow(self, seconds: float) -> None:
        """From now on everything that is fetched has to arrive within ``seconds``."""
        self._deadline = time.monotonic() + seconds

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    @contextlib.contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """A temporary file with the content of ``url``. Raises DownloadError of tuf and its kind."""
        from tuf.api import exceptions

        with tempfile.TemporaryFile(dir=self._folder) as file:
            got = 0
            for chunk in self._fetch(url):
                got += len(chunk)
                if got > max_length:
                    raise exceptions.DownloadLengthMismatchError(f"{url}: more than {max_length} bytes")
                file.write(chunk)
            file.seek(0)
            yield file

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """The content of ``url``. Raises DownloadError of tuf and its kind."""
        with self.download_file(url, max_length) as file:
            return file.read()

    def _fetch(self, url: str) -> Iterator[bytes]:
        from tuf.api import exceptions

        chunks: queue.Queue[bytes | Exception | None] = queue.Queue(maxsize=4)
        stop = threading.Event()

        def put(item: bytes | Exception | None) -> None:
            while not stop.is_set():
                with contextlib.suppress(queue.Full):
                    chunks.put(item, timeout=0.2)
                    return

        def read() -> None:
            try:
                for chunk in self._read(url):
                    if stop.is_set():
                        return
                    put(chunk)
                put(None)
            except Exception as error:
                put(error)

        threading.Thread(target=read, name="lumavox-fetch", daemon=True).start()
        try:
            while True:
                try:
                    item = chunks.get(timeout=max(0.0, self._deadline - time.monotonic()))
                except queue.Empty:
                    raise exceptions.SlowRetrievalError(f"{url}: not there in time") from None
                if isinstance(item, exceptions.DownloadError):
                    raise item
                if isinstance(item, Exception):
                    raise exceptions.DownloadError(f"{url}: {item}") from item
                if item is None:
                    return
                yield item
        finally:
            stop.set()

    def _read(self, url: str) -> Iterator[bytes]:
        import urllib3
        from tuf.api import exceptions

        timeout = urllib3.Timeout(connect=self._silence_s, read=self._silence_s)
        response: Any = self._pool.request("GET", url, preload_content=False, timeout=timeout)
        try:
            if response.status >= 400:
                raise exceptions.DownloadHTTPError(f"{url}: status {response.status}", response.status)
            while chunk := response.read1(CHUNK_BYTES, decode_content=False):
                yield chunk
        except urllib3.exceptions.TimeoutError as cause:
            raise exceptions.SlowRetrievalError(f"{url}: silent for {self._silence_s:g} s") from cause
        finally:
            response.close()
