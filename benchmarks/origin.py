"""
The servers: nginx with a configuration of its own, and a slow one. They live as long as the run.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.workloads import RESOURCES, Resource, Workload

STATUS_PATH = "/status"
_WAIT_SECONDS = 10.0
# Below /usr/sbin, which is on the path of root only.
_SBIN = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])


class ServerFailed(Exception):
    """A server did not start."""


class Ports(NamedTuple):
    """The ports of nginx."""

    plain: int
    tls: int
    http2: int
    """Also TLS. Over HTTP/1.1 it answers nothing but 505: what a client sends is checked."""

    def origin_for(self, workload: Workload) -> str:
        """Return scheme, host and port for a workload."""
        if not workload.tls:
            return f"http://127.0.0.1:{self.plain}"
        return f"https://127.0.0.1:{self.http2 if workload.http2 else self.tls}"


def find_nginx() -> str | None:
    """Return the path of nginx, if it is installed."""
    return shutil.which("nginx", path=_SBIN)


@contextlib.contextmanager
def running_nginx(folder: Path) -> Iterator[Ports]:
    """Run nginx with everything it writes in `folder`; yield its ports."""
    executable = find_nginx()
    if executable is None:
        raise ServerFailed("nginx is missing: apt install nginx-light")
    for name, resource in RESOURCES.items():
        (folder / _file_name(name)).write_bytes(resource.encoded)
    make_certificate(folder)
    ports = Ports(*free_ports(3))
    configuration = folder / "nginx.conf"
    configuration.write_text(_configuration(folder, ports))
    log = folder / "nginx.log"
    command = [executable, "-p", str(folder), "-c", str(configuration), "-e", str(log)]
    with _running(command, ports.plain):
        yield ports


@contextlib.contextmanager
def running_slow_server(folder: Path) -> Iterator[tuple[int, int]]:
    """
    Run the server that answers after the seconds that the path names; yield its ports.

    The second is for TLS, with the certificate in `folder`.
    """
    port, tls_port = free_ports(2)
    command = [sys.executable, "-m", "benchmarks.slow", str(port), str(tls_port)]
    with _running([*command, str(folder / "server.pem")], port):
        yield port, tls_port


def find_squid() -> str | None:
    """Return the path of squid, if it is installed."""
    return shutil.which("squid", path=_SBIN)


@contextlib.contextmanager
def running_squid(folder: Path) -> Iterator[int]:
    """Run squid as a forward proxy that keeps nothing; yield its port."""
    executable = find_squid()
    if executable is None:
        raise ServerFailed("squid is missing: apt install squid")
    (port,) = free_ports(1)
    configuration = folder / "squid.conf"
    configuration.write_text(_SQUID.format(folder=folder, port=port))
    folder.chmod(0o755)  # started by root, squid goes on as somebody else
    with _running([executable, "-N", "-n", f"asyncbatch{port}", "-f", str(configuration)], port):
        yield port


def requests_served(port: int) -> int:
    """Return how many requests nginx has had, this one included: what a client says is checked."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_WAIT_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", STATUS_PATH, headers={"connection": "close"})
        text = connection.getresponse().read().decode()
    # Active connections: 1 / server accepts handled requests / 3 3 17 / ...
    return int(text.splitlines()[2].split()[2])


def make_certificate(folder: Path) -> None:
    """Write ca.pem, and the key and certificate of 127.0.0.1 in server.pem."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait_for(process, port)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ServerFailed(f"{process.args!r} ended with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise ServerFailed(f"{process.args!r} did not listen on port {port}")


_SQUID = """
http_port 127.0.0.1:{port}
pid_filename none
visible_hostname localhost
http_access allow localhost
http_access deny all
cache deny all
cache_mem 8 MB
memory_pools off
access_log none
cache_log /dev/null
cache_store_log none
netdb_filename none
coredump_dir {folder}
shutdown_lifetime 0 seconds
client_persistent_connections on
server_persistent_connections on
pconn_lifetime 0
"""


def _file_name(name: str) -> str:
    return name.replace(" ", "") + ".body"


def _location(folder: Path, name: str, resource: Resource) -> str:
    lines = ["default_type application/json;"]
    if resource.wants_cookie:
        name, value = resource.wants_cookie
        lines.append(f"if ($cookie_{name} != '{value}') {{ return 403; }}")
    if resource.redirects_to:
        lines.append(f"return 302 {resource.redirects_to}?$args;")
    elif len(resource.content) < 500:
        # From the configuration: the file system is not what is measured.
        lines.append(f"return 200 '{resource.content.decode()}';")
    else:
        lines.append(f"alias {folder / _file_name(name)};")
    if resource.gzipped:
        lines.append("add_header Content-Encoding gzip;")
    if resource.sets_cookie:
        lines.append(f"add_header Set-Cookie '{resource.sets_cookie}';")
    if resource.closes:
        lines.append("keepalive_timeout 0;")
    return f"location = {resource.path} {{ {' '.join(lines)} }}"


def _configuration(folder: Path, ports: Ports) -> str:
    locations = "\n".join(_location(folder, *item) for item in RESOURCES.items())
    # Started by root, the workers would be somebody else, who may not read the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    scratch = "\n".join(
        f"{kind}_temp_path {folder};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    {scratch}
    sendfile on;
    tcp_nopush on;
    open_file_cache max=100;
    keepalive_requests 1000000000;
    keepalive_timeout 600;
    # On all of 127.0.0.0/8, for the workloads over many hosts, and for nobody else.
    allow 127.0.0.0/8;
    deny all;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    absolute_redirect off;
    server {{
        listen {ports.plain} backlog=8192;
        listen {ports.tls} ssl backlog=8192;
        {locations}
        location = {STATUS_PATH} {{ stub_status; }}
    }}
    server {{
        listen {ports.http2} ssl http2 backlog=8192;
        if ($http2 != h2) {{ return 505; }}
        {locations}
    }}
}}
"""
