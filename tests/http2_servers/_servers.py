"""
How each server is started: as a proxy with TLS before a backend, and how it is made to reload.

Every server takes twenty streams at a time where that can be said, so that there is always more to
do than one connection takes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

STREAMS = 20


class Setting(NamedTuple):
    """Where a server runs."""

    folder: Path
    port: int
    backend: int
    certificate: Path
    listener: int
    """A descriptor that listens on another port, for a server that can take it."""


class Recipe(NamedTuple):
    """How a server is run: its program, its configuration, its command, and its reload."""

    program: str
    configuration: Callable[[Setting], str]
    command: Callable[[Setting, Path], list[str]]
    reload: Callable[[int, Setting], None]
    drops: bool = False
    """Whether it closes connections while requests are in flight, so that these must be tried
    again: then the fetcher has its usual retries, and nothing is sent by POST."""


def _nginx(to: Setting) -> str:
    return f"""
daemon off; master_process on; worker_processes 1;
pid {to.folder}/nginx.pid; error_log {to.folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 50; http2_max_concurrent_streams {STREAMS};
  client_body_temp_path {to.folder}/b; proxy_temp_path {to.folder}/p;
  fastcgi_temp_path {to.folder}/f; uwsgi_temp_path {to.folder}/u; scgi_temp_path {to.folder}/s;
  server {{
    listen 127.0.0.1:{to.port} ssl http2;
    ssl_certificate {to.certificate}; ssl_certificate_key {to.certificate};
    location / {{ proxy_pass http://127.0.0.1:{to.backend}; proxy_http_version 1.1; }}
  }}
}}
"""


def _haproxy(to: Setting) -> str:
    return f"""
global
  master-worker
  pidfile {to.folder}/haproxy.pid
  tune.h2.max-concurrent-streams {STREAMS}
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend f
  bind 127.0.0.1:{to.port} ssl crt {to.certificate} alpn h2,http/1.1
  default_backend b
backend b
  server s 127.0.0.1:{to.backend}
"""


def _caddy(to: Setting) -> str:
    return f"""
{{
  admin unix/{to.folder}/admin
  auto_https off
  storage file_system {to.folder}
}}
https://127.0.0.1:{to.port} {{
  bind 127.0.0.1
  tls {to.certificate} {to.certificate}
  reverse_proxy 127.0.0.1:{to.backend}
}}
"""


def _h2o(to: Setting) -> str:
    return f"""
http2-max-concurrent-requests-per-connection: {STREAMS}
http2-graceful-shutdown-timeout: 5
hosts:
  "127.0.0.1":
    listen:
      host: 127.0.0.1
      port: {to.port}
      ssl:
        certificate-file: {to.certificate}
        key-file: {to.certificate}
    paths:
      /:
        proxy.reverse.url: http://127.0.0.1:{to.backend}/
"""


def _nghttpx(to: Setting) -> str:
    return f"""
frontend=127.0.0.1,{to.port}
backend=127.0.0.1,{to.backend}
private-key-file={to.certificate}
certificate-file={to.certificate}
frontend-http2-max-concurrent-streams={STREAMS}
workers=1
pid-file={to.folder}/nghttpx.pid
errorlog-file={to.folder}/error.log
accesslog-file=/dev/null
"""


def _hypercorn(to: Setting) -> str:
    return f"""
bind = ["fd://{to.listener}"]
certfile = "{to.certificate}"
keyfile = "{to.certificate}"
h2_max_concurrent_streams = {STREAMS}
loglevel = "CRITICAL"
"""


def _none(pid: int, to: Setting) -> None:
    """Do nothing: it leaves by itself, after fifty requests."""


def REPLACED(pid: int, to: Setting) -> None:  # noqa: N802  # stands for a value
    """Do nothing: another process takes the place of the first, which is told to finish."""


def _by(sent: int) -> Callable[[int, Setting], None]:
    return lambda pid, to: os.kill(pid, sent)


def _reload_caddy(pid: int, to: Setting) -> None:
    # A configuration that is the same would not be loaded.
    given = to.folder / "given"
    given.write_text(given.read_text() + "# again\n")
    arguments = ["reload", "--force", "--adapter", "caddyfile", "--config", str(given)]
    address = ["--address", f"unix/{to.folder}/admin"]
    subprocess.run(
        [program_of("caddy") or "", *arguments, *address], check=True, capture_output=True
    )


def _reload_nghttpx(pid: int, to: Setting) -> None:
    # A new process on the same sockets; the old one is told to finish.
    old = int((to.folder / "nghttpx.pid").read_text())
    os.kill(old, signal.SIGHUP)


SERVERS = {
    "nginx": Recipe(
        "nginx", _nginx, lambda to, given: ["-p", str(to.folder), "-c", str(given)], _none
    ),
    "haproxy": Recipe(
        "haproxy", _haproxy, lambda to, given: ["-W", "-f", str(given)], _by(signal.SIGUSR2)
    ),
    "caddy": Recipe(
        "caddy",
        _caddy,
        lambda to, given: ["run", "--adapter", "caddyfile", "--config", str(given)],
        _reload_caddy,
    ),
    # The master starts another process on the same socket, a second before the old one leaves.
    "h2o": Recipe(
        "h2o",
        _h2o,
        lambda to, given: ["-m", "master", "-c", str(given)],
        _by(signal.SIGHUP),
    ),
    "nghttpx": Recipe("nghttpx", _nghttpx, lambda to, given: [f"--conf={given}"], _reload_nghttpx),
    # Its own limit of requests is of no use: it answers none of those in flight any more.
    "hypercorn": Recipe(
        "hypercorn",
        _hypercorn,
        lambda to, given: ["-c", str(given), "tests.http2_servers._app:app"],
        REPLACED,
        drops=True,
    ),
}


def program_of(name: str) -> str | None:
    """Return the path of a program; system programs are looked for as well."""
    folders = [*os.get_exec_path(), "/usr/sbin", "/usr/local/sbin"]
    return shutil.which(name, path=os.pathsep.join(folders))
