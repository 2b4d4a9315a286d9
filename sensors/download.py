"""Download a file of known size and checksum, going on where an earlier attempt ended."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.errors import BitspikeError
from sensors.catalogue import DatasetFile

CHUNK_BYTES = 1 << 18
ATTEMPTS = 3
TIMEOUT_S = 30.0

Progress = Callable[[int], None]


def download(file: DatasetFile, target: Path, progress: Progress | None = None) -> None:
    """Download to ``<target>.part``, check it, and rename it to `target`.

    What an earlier attempt left in the part is kept and the rest asked for; a broken connection is taken up again, twice at most.

    Parameters
    ----------
    file : DatasetFile
        Where it is, and what it must be.
    target : pathlib.Path
        Where it goes.
    progress : callable, optional
        Called with the bytes that are there so far.

    Raises
    ------
    BitspikeError
        The server cannot be reached or offers something else, the connection keeps breaking, the checksum differs, or the disk is
        full.
    """
    part = target.with_name(target.name + ".part")
    for attempt in range(ATTEMPTS):
        try:
            digest, got = _fetch(file, part, progress)
        except urllib.error.HTTPError as error:
            raise BitspikeError(
                f"{file.url}: the server answers {error.code} {error.reason}; try later, or give a local copy"
            ) from error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if attempt + 1 < ATTEMPTS:
                continue
            reason = getattr(error, "reason", None) or error
            raise BitspikeError(f"{file.url}: cannot be reached ({reason}); check the connection, or give a local copy") from error
        except OSError as error:
            raise BitspikeError(f"{part}: cannot be written: {error.strerror or error}") from error
        if got == file.size:
            break
    else:
        raise BitspikeError(f"{file.url}: the connection ended after {got} of {file.size} bytes; fetch again to go on from there")
    if digest.hexdigest() != file.digest:
        part.unlink()
        raise BitspikeError(f"{file.url}: what came has another {file.algorithm} than {file.digest}; it was deleted: fetch again")
    part.replace(target)


def _fetch(file: DatasetFile, part: Path, progress: Progress | None) -> tuple[Any, int]:
    """Bring the part on as far as one connection goes; return the running digest and the bytes that are there."""
    have = part.stat().st_size if part.exists() else 0
    if have > file.size:
        part.unlink()
        have = 0
    if have == file.size:
        return _digest_of(file, part, have), have
    request = urllib.request.Request(file.url, headers={"User-Agent": "bitspike"} | ({"Range": f"bytes={have}-"} if have else {}))
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            part.unlink()
            return _fetch(file, part, progress)
        raise
    with answer:
        if answer.status != http.client.PARTIAL_CONTENT:
            have = 0  # the server does not go on from the middle
        _check_size(file, answer, have)
        digest = _digest_of(file, part, have)
        with part.open("ab" if have else "wb") as out:
            while chunk := _read(answer):
                out.write(chunk)
                digest.update(chunk)
                have += len(chunk)
                if progress is not None:
                    progress(have)
    return digest, have


def _read(answer: Any) -> bytes:
    try:
        return answer.read(CHUNK_BYTES)  # type: ignore[no-any-return]
    except http.client.IncompleteRead as error:
        return error.partial
    except OSError as error:  # told apart here from the disk's errors
        raise ConnectionError(error.strerror or str(error)) from error


def _check_size(file: DatasetFile, answer: Any, have: int) -> None:
    length = answer.headers.get("Content-Length")
    span = answer.headers.get("Content-Range", "")
    if have and not span.startswith(f"bytes {have}-"):
        raise BitspikeError(f"{file.url}: the server was asked to go on from byte {have} and answers {span or 'without a range'!r}")
    if length is not None and have + int(length) != file.size:
        raise BitspikeError(f"{file.url}: the server offers {have + int(length)} bytes, and the catalogue says {file.size}")


def _digest_of(file: DatasetFile, part: Path, have: int) -> Any:
    """Return the digest of what is there already."""
    digest = hashlib.new(file.algorithm)
    if have:
        with part.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest


def check_copy(file: DatasetFile, copy: Path) -> None:
    """Refuse a local copy that is not the catalogue's file.

    Raises
    ------
    BitspikeError
        It is missing, or its size or checksum differs.
    """
    if not copy.is_file():
        raise BitspikeError(f"{copy}: no such file; give a folder with {file.name}, or the file itself")
    size = copy.stat().st_size
    if size != file.size:
        raise BitspikeError(f"{copy}: has {size} bytes, and {file.name} has {file.size}: it is truncated, or another file")
    with copy.open("rb") as content:
        digest = hashlib.file_digest(content, file.algorithm).hexdigest()
    if digest != file.digest:
        raise BitspikeError(f"{copy}: its {file.algorithm} is {digest}, and that of {file.name} is {file.digest}: it is damaged")
