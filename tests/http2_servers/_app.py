"""What the servers answer: by themselves, as an ASGI app, or from behind a proxy, as a backend."""

from __future__ import annotations

import asyncio
from typing import Any

BIG = b"x" * 1_000_000
SMALL = b'{"ok": "small one"}'


def body_of(path: str) -> bytes | None:
    """Return the body for a path; `None`: never."""
    if path.startswith("/hang"):
        return None
    return BIG if path.startswith("/big") else SMALL


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer as an ASGI app."""
    if scope["type"] != "http":
        return
    body = body_of(scope["path"])
    if body is None:
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    length = str(len(body)).encode()
    headers = [(b"content-length", length), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"content-length:" in head.lower():
                length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
            body = body_of(head.split()[1].decode())
            if body is None:
                await reader.read()
                return
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main() -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
