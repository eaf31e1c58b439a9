"""
Request bodies: check what the caller gave, and attach it to a native request.

What is produced while it is sent goes through a stream of ours. With httpx's own, requests that
share a file would each read only parts of it (httpx 0.28).
"""

from __future__ import annotations

import copy
import io
import re
from collections.abc import (
    Generator,
    Mapping,
    Sequence,
)
from typing import Any

from asyncbatch._lanes.request._upload_stream import upload_stream
from asyncbatch._values._body_source import (
    BodySource,
    FileSource,
    check_content,
    check_piece,
    is_file,
    is_stored,
    source_of,
)
from asyncbatch._values._request import Request

_LINE_END = re.compile(r"[\r\n\0]")

_FORM = "a mapping such as {'name': 'value'}; content= takes other bodies"
_FILES = (
    "a mapping such as {'name': file}, or a list of (name, file) pairs; a file is bytes, str, a "
    "file opened in binary mode, or a tuple (filename, file, content type, headers)"
)


def is_produced(request: Request) -> bool:
    """Whether the body of a request is not all in memory."""
    data: Any = request.data
    is_form = data is None or isinstance(data, Mapping)
    return not (is_stored(request.content) and is_form and request.files is None)


class Body:
    """
    The body of one request: what httpx builds it from, and the sources it is read from.

    Attributes:
        arguments: for `client.build_request`.
        sources: what the body is read from.

    Raises:
        TypeError: If a part has a type that is not accepted; the message names it.
        ValueError: If a header in it has a line break or NUL.
    """

    def __init__(self, request: Request) -> None:
        self.sources: list[BodySource] = []
        self._multipart: list[UploadFile] = []
        # The source of the pieces, if the body is not a form.
        self._content: BodySource | None = None
        content: Any = request.content
        data: Any = request.data
        self.arguments: dict[str, Any] = {"json": request.json}
        if content is None and data is not None and not isinstance(data, Mapping):
            content, data = _raw_data(data), None
        check_content(content)
        if is_stored(content):
            self.arguments["content"] = _as_bytes(content)
        else:
            self._content = self._source(content)
            self.arguments["content"] = b""
        if data is not None:
            check_form(data, is_multipart=request.files is not None)
        self.arguments["data"] = data
        if request.files is not None and content is None:
            self.arguments["files"] = self._files(request.files)

    def give_to(self, native: Any, library: Any) -> None:
        """Attach the body to a native request that was built with `arguments`."""
        if self._content is None:
            if self.sources:
                native.stream = _multipart_stream(
                    library, native.stream, self._multipart, self.sources
                )
            return
        source = self._content
        native.stream = upload_stream(library)(source.read, self.sources)
        # The empty body that it was built with; mocks would read it instead of the stream.
        native.__dict__.pop("_content", None)
        _describe(native, source.length() if isinstance(source, FileSource) else None)

    def _source(self, given: Any) -> BodySource:
        source = source_of(given)
        self.sources.append(source)
        return source

    def _files(self, files: Any) -> list[tuple[Any, Any]]:
        if isinstance(files, Mapping):
            files = files.items()
        elif not isinstance(files, Sequence) or isinstance(files, str | bytes):
            raise TypeError(f"files must be {_FILES}, not a {type(files).__name__}")
        return [self._field(*_pair(pair)) for pair in files]

    def _field(self, field: Any, file: Any) -> tuple[Any, Any]:
        if not isinstance(file, tuple):
            return field, self._file(field, file)
        if not 2 <= len(file) <= 4:
            raise TypeError(f"files must be {_FILES}; that of {field!r} has {len(file)} parts")
        name, content, *rest = file
        headers = rest[1] if len(rest) > 1 else {}
        for text in (*rest[:1], *headers.keys(), *headers.values()):
            if isinstance(text, str) and _LINE_END.search(text):
                raise ValueError(
                    f"the content type or a header of the file {field!r} has a line break or NUL"
                )
        # A copy, because httpx writes the content type into the headers.
        rest[1:] = [dict(headers) for headers in rest[1:]]
        return field, (name, self._file(field, content), *rest)

    def _file(self, field: Any, file: Any) -> Any:
        if isinstance(file, str | bytes):
            return file
        if isinstance(file, bytearray | memoryview):
            return bytes(file)
        if isinstance(file, io.TextIOBase):
            raise TypeError(f"the file {field!r} is opened as text; open it in binary mode: 'rb'")
        if not is_file(file):
            raise TypeError(f"files must be {_FILES}; that of {field!r} is a {type(file).__name__}")
        source = self._source(file)
        assert isinstance(source, FileSource)
        self._multipart.append(upload := UploadFile(source))
        return upload


class UploadFile:
    """
    A file for httpx's multipart encoder, which calls `seek(0)` before it reads.

    Args:
        source: read from the very beginning of the file, as httpx does.
    """

    def __init__(self, source: FileSource) -> None:
        self.source = source
        self._pieces: Generator[Any] | None = None
        name = getattr(source.given, "name", None)
        if name is not None:
            self.name = name

    def tell(self) -> int:
        """Return 0: the file is always at its beginning."""
        return 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to the beginning, or return the position of the end."""
        if whence == io.SEEK_END:
            length = self.source.length(0)
            if length is None:
                raise OSError("the length of the file is not known")
            return length
        self.close()
        return offset

    def read(self, size: int = -1) -> bytes:
        """
        Return the next piece, of any length.

        Raises:
            UnreadableBody: If the file cannot be read a second time.
        """
        if self._pieces is None:
            self._pieces = self.source.read(0)
        return check_piece(next(self._pieces, b""))

    def close(self) -> None:
        """Stop reading; the position of the caller's file is restored."""
        pieces, self._pieces = self._pieces, None
        if pieces is not None:
            pieces.close()


def give_again(native: Any, given: Any, library: Any) -> list[BodySource]:
    """
    Make the copy of a caller's native request raise if its body cannot be read again.

    Its body is not in memory.

    Returns:
        The sources of the body.
    """
    stream = given.stream
    # Private names of httpx and httpx2. If they change, the stream is read as any other iterable.
    if type(stream).__name__ == "MultipartStream" and hasattr(stream, "fields"):
        multipart, files = _copied(stream)
        sources: list[BodySource] = [file.source for file in files]
        native.stream = _multipart_stream(library, multipart, files, sources)
        return sources
    if type(stream).__name__ in ("IteratorByteStream", "AsyncIteratorByteStream"):
        stream = getattr(stream, "_stream", stream)
    source = source_of(stream)
    native.stream = upload_stream(library)(source.read, [source])
    return [source]


def _copied(stream: Any) -> tuple[Any, list[UploadFile]]:
    """Return a copy of a multipart stream that reads `UploadFile`s, and these files."""
    multipart = copy.copy(stream)
    multipart.fields = [copy.copy(field) for field in stream.fields]
    files: list[UploadFile] = []
    for field in multipart.fields:
        file = getattr(field, "file", None)
        if is_file(file):
            source = source_of(file)
            assert isinstance(source, FileSource)
            field.file = UploadFile(source)
            files.append(field.file)
    return multipart, files


def _multipart_stream(
    library: Any, stream: Any, files: list[UploadFile], sources: list[BodySource]
) -> Any:
    def close() -> None:
        for file in files:
            file.close()

    return upload_stream(library)(stream.__iter__, sources, close)


def _pair(pair: Any) -> tuple[Any, Any]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"files must be {_FILES}, not a {type(pair).__name__} in a list")
    return pair[0], pair[1]


def check_form(data: Mapping[Any, Any], *, is_multipart: bool) -> None:
    """
    Refuse values of a form that httpx would send as their `str()`.

    Raises:
        TypeError: If there is one; the message names the field and the type.
    """
    for name, value in data.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            is_text = isinstance(each, str) or (is_multipart and isinstance(each, bytes))
            if not is_text and (hasattr(each, "__iter__") or hasattr(each, "__aiter__")):
                raise TypeError(
                    f"data must have text or a number in the field {name!r}, or a list of such, "
                    f"not a {type(each).__name__}; files= takes files and bytes"
                )


def _raw_data(data: Any) -> Any:
    """Return `data` that is not a form, to be sent as content, as httpx does."""
    if isinstance(data, list | tuple):
        raise TypeError(f"data must be {_FORM}, not a {type(data).__name__}")
    check_content(data, "data")
    return data


def _as_bytes(content: Any) -> Any:
    return bytes(content) if isinstance(content, bytearray | memoryview) else content


def _describe(native: Any, length: int | None) -> None:
    """Set `Content-Length` or `Transfer-Encoding`, unless the caller has set one."""
    headers = native.headers
    given = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
    if given:
        return
    headers.pop("content-length", None)
    if length is None:
        headers["Transfer-Encoding"] = "chunked"
    else:
        headers["Content-Length"] = str(length)
